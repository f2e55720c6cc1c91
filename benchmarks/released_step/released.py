"""The released text step, written from its description: sizes, losses, order of work, habits.

Reference: EMB(300) | BiLSTM | BiLSTM with t of 128, of the code published with the paper
(Hibb-bb/AL, ``distributed_model.py``). Every text is padded to one length and the recurrent
layers run over the padding; each layer has one Adam for f and b and one for g and h, without
fused or foreach kernels; every step ends with an inference on its batch and reads its losses
and its accuracy as Python numbers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["ReleasedNetwork", "ReleasedStep"]


class _Layer(nn.Module):
    """f, b, g and h: tanh after b and g; h_1 has a tanh too, the others are linear."""

    def __init__(self, f: nn.Module, width: int, below: int, latent: int) -> None:
        super().__init__()
        self.f = f
        self.b = nn.Sequential(nn.Linear(width, latent), nn.Tanh())
        self.g = nn.Sequential(nn.Linear(below, latent), nn.Tanh())
        self.first = isinstance(f, nn.Embedding)
        decoder = nn.Linear(latent, below)
        self.h = nn.Sequential(decoder, nn.Tanh()) if self.first else decoder

    def encode(self, s: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``s_i`` and what the bridge reads: a mean of words, or both last states."""
        if self.first:
            vectors = self.f(s)
            return vectors, vectors.mean(1)
        out, (h, _) = self.f(s)
        return out, h[0] + h[1]


class ReleasedNetwork(nn.Module):
    """An embedding and two bidirectional LSTM layers in AL form."""

    def __init__(self, *, words: int, dim: int, hidden: int, classes: int, latent: int) -> None:
        super().__init__()
        self.classes = classes
        self.embedding = _Layer(nn.Embedding(words, dim, padding_idx=0), dim, classes, latent)
        self.first = _Layer(_lstm(dim, hidden), hidden, latent, latent)
        self.second = _Layer(_lstm(2 * hidden, hidden), hidden, latent, latent)

    def layers(self) -> list[_Layer]:
        """Return the layers from the input up."""
        return [self.embedding, self.first, self.second]

    def infer(self, ids: Tensor) -> Tensor:
        """Return ``h_1(h_2(h_3(b_3(s_3))))``."""
        s, read = ids, ids
        for layer in self.layers():
            s, read = layer.encode(s)
        t: Tensor = self.second.b(read)
        for layer in reversed(self.layers()):
            t = layer.h(t)
        return t


def _lstm(width: int, hidden: int) -> nn.LSTM:
    return nn.LSTM(width, hidden, batch_first=True, bidirectional=True)


class ReleasedStep:
    """One update of every layer.

    Args:
        net: The network.
        fused: Use the fused Adam.
        report: End every step with an inference, and read losses and accuracy as numbers.
    """

    def __init__(self, net: ReleasedNetwork, *, fused: bool, report: bool) -> None:
        self.net = net
        self.report = report
        self.optimizers = []
        for layer in net.layers():
            for pair in ((layer.f, layer.b), (layer.g, layer.h)):
                parameters = [p for module in pair for p in module.parameters()]
                adam = torch.optim.Adam(parameters, lr=1e-3, fused=fused, foreach=False)
                self.optimizers.append(adam)

    def __call__(self, ids: Tensor, y: Tensor) -> None:
        """Update on token ids ``[B, T]`` and labels ``[B]``."""
        s, t = ids, F.one_hot(y, self.net.classes).float()
        losses = []
        for i, layer in enumerate(self.net.layers()):
            s, t, loss = self._update(layer, s, t, self.optimizers[2 * i : 2 * i + 2])
            losses.append(loss)
        if self.report:
            for loss in losses:
                loss.item()
            with torch.no_grad():
                (self.net.infer(ids).argmax(1) == y).float().mean().item()

    def _update(
        self, layer: _Layer, s: Tensor, t: Tensor, optimizers: list[torch.optim.Adam]
    ) -> tuple[Tensor, Tensor, Tensor]:
        s_next, read = layer.encode(s)
        t_next = layer.g(t)
        decode = F.cross_entropy if layer.first else F.mse_loss
        loss = F.mse_loss(layer.b(read), t_next.detach()) + decode(layer.h(t_next), t)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in optimizers:
            optimizer.step()
        return s_next.detach(), t_next.detach(), loss.detach()

"""Plain torch networks for vectors, sequences ``[B, T, 20]``, pairs, and text with an image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = [
    "LSTMStack",
    "MaskedTransformer",
    "Siamese",
    "TemporalConvolutions",
    "TiedBlocks",
    "TwoStreams",
    "mlp",
    "transformer",
]

_IN, _WIDTH = 20, 32


def _dense(in_features: int, out_features: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(in_features, out_features), nn.ReLU(), nn.Dropout(0.1))


def mlp(classes: int) -> nn.Sequential:
    """Make a list of dense layers."""
    hidden = [_dense(_WIDTH, _WIDTH) for _ in range(3)]
    return nn.Sequential(_dense(_IN, _WIDTH), *hidden, nn.Linear(_WIDTH, classes))


def _transformer_layer() -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(_WIDTH, 2, 64, dropout=0.1, batch_first=True)


class _Mean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


def transformer(classes: int) -> nn.Sequential:
    """Make a list with torch's encoder in it: its layers lie one level deeper."""
    encoder = nn.TransformerEncoder(_transformer_layer(), 4)
    return nn.Sequential(nn.Linear(_IN, _WIDTH), encoder, _Mean(), nn.Linear(_WIDTH, classes))


class MaskedTransformer(nn.Module):
    """Torch's encoder with a padding mask; in evaluation it packs x into a nested tensor."""

    def __init__(self, classes: int, packs: bool = True) -> None:
        super().__init__()
        self.embed = nn.Linear(_IN, _WIDTH)
        self.encoder = nn.TransformerEncoder(_transformer_layer(), 4, enable_nested_tensor=packs)
        self.head = nn.Linear(_WIDTH, classes)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        padding = torch.arange(x.shape[1], device=x.device) >= lengths.unsqueeze(1)
        x = self.encoder(self.embed(x), src_key_padding_mask=padding)
        logits: Tensor = self.head(x[:, 0])
        return logits


class LSTMStack(nn.Module):
    """Recurrent layers that return a pair; the last state is classified."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        widths = [_IN, 2 * _WIDTH, 2 * _WIDTH]
        self.lstms = nn.ModuleList(
            nn.LSTM(width, _WIDTH, batch_first=True, bidirectional=True) for width in widths
        )
        self.dropout = nn.Dropout(0.1)
        self.fc = nn.Linear(2 * _WIDTH, classes)

    def forward(self, x: Tensor) -> Tensor:
        states = []
        for lstm in self.lstms:
            x, (state, _) = lstm(self.dropout(x))
            states.append(state)
        logits: Tensor = self.fc(torch.cat([states[-1][0], states[-1][1]], dim=1))
        return logits


class TemporalConvolutions(nn.Module):
    """Causal dilated convolutions over time, padded by hand, with residual sums."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.project = nn.Conv1d(_IN, _WIDTH, 1)
        self.convs = nn.ModuleList(nn.Conv1d(_WIDTH, _WIDTH, 3, dilation=2**i) for i in range(4))
        self.head = nn.Linear(_WIDTH, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.project(x.transpose(1, 2))
        for i, conv in enumerate(self.convs):
            x = x + conv(nn.functional.pad(x, (2 ** (i + 1), 0))).relu()
        logits: Tensor = self.head(x[:, :, -1])
        return logits


class Siamese(nn.Module):
    """Two inputs through one tower; a trunk judges how they differ."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.tower = nn.Sequential(_dense(_IN, _WIDTH), _dense(_WIDTH, _WIDTH))
        self.trunk = nn.Sequential(*[_dense(_WIDTH, _WIDTH) for _ in range(3)])
        self.head = nn.Linear(_WIDTH, classes)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        difference = (self.tower(left) - self.tower(right)).abs()
        logits: Tensor = self.head(self.trunk(difference))
        return logits


class TiedBlocks(nn.Module):
    """One block used four times, so that its uses belong to one layer."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = _dense(_IN, _WIDTH)
        self.block = _dense(_WIDTH, _WIDTH)
        self.trunk = nn.ModuleList(_dense(_WIDTH, _WIDTH) for _ in range(2))
        self.head = nn.Linear(_WIDTH, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for _ in range(4):
            x = x + self.block(x)
        for block in self.trunk:
            x = block(x)
        logits: Tensor = self.head(x)
        return logits


class TwoStreams(nn.Module):
    """A text and an image, each through a stream of its own, then a common trunk."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.words = nn.Embedding(30, _WIDTH)
        self.text = nn.Sequential(_dense(_WIDTH, _WIDTH), _dense(_WIDTH, _WIDTH))
        self.image = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, _WIDTH, 3, 2, 1), nn.ReLU()
        )
        self.trunk = nn.Sequential(_dense(2 * _WIDTH, _WIDTH), _dense(_WIDTH, _WIDTH))
        self.head = nn.Linear(_WIDTH, classes)

    def forward(self, ids: Tensor, image: Tensor) -> Tensor:
        text = self.text(self.words(ids)).mean(1)
        joined = torch.cat([text, self.image(image).mean((2, 3))], dim=1)
        logits: Tensor = self.head(self.trunk(joined))
        return logits

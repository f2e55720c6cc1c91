"""A causal language model in the shape of Llama 2 7B's blocks, made one AL layer at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import associated_learning as al
from associated_learning.targets.answer_loss import AnswerLoss

HEAD = 128  # width of an attention head


class Sizes(NamedTuple):
    """How large network and minibatches are; two blocks make an AL layer."""

    layers: int
    width: int
    inner: int
    vocabulary: int
    batch: int
    length: int

    @property
    def target(self) -> al.Classes:
        """The next token at every position."""
        return al.Classes(self.vocabulary, positions=1)

    @property
    def parameters(self) -> int:
        """Number of parameters of the network in AL form, counted without memory."""
        return sum(p.numel() for layer in al_layers(self, "meta") for p in layer.parameters())

    @property
    def tokens(self) -> int:
        """Number of tokens in a minibatch."""
        return self.batch * self.length


class Block(nn.Module):
    """Causal attention and a gated feed-forward map, each behind a norm, ``[B, T, W]``."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.RMSNorm(width) for _ in range(2))
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.gate, self.up = (nn.Linear(width, inner, bias=False) for _ in range(2))
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, s: Tensor) -> Tensor:
        """Return ``[B, T, W]``."""
        batch, length, width = s.shape
        shape = (batch, length, width // HEAD, HEAD)
        q, k, v = (
            part.view(shape).transpose(1, 2) for part in self.qkv(self.norms[0](s)).chunk(3, -1)
        )
        read = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        s = s + self.out(read.transpose(1, 2).reshape(batch, length, width))
        read = self.norms[1](s)
        output: Tensor = s + self.down(F.silu(self.gate(read)) * self.up(read))
        return output


class Opening(nn.Module):
    """Vectors of tokens ``[B, T]`` and of their places."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.tokens = nn.Embedding(sizes.vocabulary, sizes.width)
        self.places = nn.Parameter(0.02 * torch.randn(sizes.length, sizes.width))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[B, T, W]``."""
        vectors: Tensor = self.tokens(x) + self.places
        return vectors


def make_encoder(number: int, sizes: Sizes) -> nn.Sequential:
    """Return encoder ``number``, from 0, with the weights that it has in any process."""
    torch.manual_seed(number)
    blocks = [Block(sizes.width, sizes.inner) for _ in range(2)]
    return nn.Sequential(*([Opening(sizes)] if number == 0 else []), *blocks)


def make_head(sizes: Sizes) -> nn.Sequential:
    """Return the map from a position's vector to the logits of the next token."""
    return nn.Sequential(
        nn.RMSNorm(sizes.width), nn.Linear(sizes.width, sizes.vocabulary, bias=False)
    )


def al_layers(sizes: Sizes, device: str) -> Iterator[al.ALLayer]:
    """Yield layers, each made when it is asked for; every one answers the next token by itself."""
    for number in range(sizes.layers):
        with torch.device(device):
            f, b = make_encoder(number, sizes), make_head(sizes)
        yield al.ALLayer(
            f=f,
            b=b,
            g=nn.Identity(),
            h=nn.Identity(),
            association=AnswerLoss(sizes.target),
            reconstruction=None,
        )


class Decoder(nn.Module):
    """The same encoders under one head, for backpropagation with activation checkpointing."""

    def __init__(self, sizes: Sizes, device: str, place: str) -> None:
        super().__init__()
        encoders = []
        for number in range(sizes.layers):
            with torch.device(device):
                encoders.append(make_encoder(number, sizes).to(place))
        self.blocks = nn.ModuleList(block for encoder in encoders for block in encoder)
        with torch.device(device):
            self.head = make_head(sizes).to(place)

    def forward(self, s: Tensor, y: Tensor) -> Tensor:
        """Return the loss of tokens ``[B, T]`` and those that follow, ``[B, T]``."""
        for block in self.blocks:
            s = checkpoint(block, s, use_reentrant=False)
        loss: Tensor = checkpoint(self._loss, s, y, use_reentrant=False)
        return loss

    def _loss(self, s: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(self.head(s).flatten(0, 1), y.flatten())


def batches(sizes: Sizes, steps: int) -> list[tuple[Tensor, Tensor]]:
    """Return minibatches of tokens and those that follow: each is its predecessor's successor."""
    draw = torch.Generator().manual_seed(1)
    starts = torch.randint(sizes.vocabulary, (steps, sizes.batch, 1), generator=draw)
    rows = (starts + 7 * torch.arange(sizes.length + 1)) % sizes.vocabulary
    return [(row[:, :-1], row[:, 1:]) for row in rows]

"""A deep Transformer whose layers are made one at a time, each from a seed of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import associated_learning as al
from associated_learning import models

CLASSES, VOCABULARY, LATENT = 4, 2000, 128


class Sizes(NamedTuple):
    """How large network and minibatches are."""

    layers: int
    width: int
    batch: int
    length: int

    @property
    def parameters(self) -> int:
        """Number of parameters, counted on layers without memory."""
        with torch.device("meta"):
            first, second = (make_layer(i, self) for i in range(2))
        above = sum(p.numel() for p in second.parameters())
        return sum(p.numel() for p in first.parameters()) + (self.layers - 1) * above


class Mean(nn.Module):
    """Mean over positions, ``[B, T, W] -> [B, W]``."""

    def forward(self, s: Tensor) -> Tensor:
        """Return the mean."""
        return s.mean(dim=1)


class Block(nn.Module):
    """A Transformer layer; the lowest one looks its tokens up first."""

    def __init__(self, number: int, width: int) -> None:
        super().__init__()
        self.lookup = nn.Embedding(VOCABULARY, width) if number == 0 else nn.Identity()
        self.layer = nn.TransformerEncoderLayer(
            width, width // 64, 4 * width, dropout=0.1, batch_first=True, norm_first=True
        )

    def forward(self, s: Tensor) -> Tensor:
        """Return ``[B, T, W]``."""
        output: Tensor = self.layer(self.lookup(s))
        return output


def make_layer(number: int, sizes: Sizes) -> al.ALLayer:
    """Return layer ``number``, from 0, with the weights that it begins with in any process."""
    torch.manual_seed(number)
    below = CLASSES if number == 0 else LATENT
    decoder = nn.Linear(LATENT, below)
    return al.ALLayer(
        f=Block(number, sizes.width),
        readout=Mean(),
        b=nn.Linear(sizes.width, LATENT),
        g=nn.Sequential(nn.Linear(below, LATENT), nn.Tanh()),
        h=decoder if number == 0 else nn.Sequential(decoder, nn.Tanh()),
    )


def al_layers(sizes: Sizes) -> Iterator[al.ALLayer]:
    """Yield the layers from the input up, each made when it is asked for."""
    return (make_layer(number, sizes) for number in range(sizes.layers))


class Checkpointed(nn.Module):
    """An encoder that keeps its inputs only, and runs once more in the backward pass."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, s: Tensor) -> Tensor:
        """Return what the encoder returns."""
        output: Tensor = checkpoint(self.encoder, s, use_reentrant=False)
        return output


def bp_network(sizes: Sizes, *, checkpointing: bool) -> al.BPNetwork:
    """Return the same encoders under one head, to be trained end to end."""
    encoders: list[nn.Module] = [Block(number, sizes.width) for number in range(sizes.layers)]
    if checkpointing:
        encoders = [Checkpointed(encoder) for encoder in encoders]
    model = models.LayeredModel(encoders, Mean(), nn.Linear(sizes.width, CLASSES))
    return al.BPNetwork(model, al.Classes(CLASSES))


def batches(sizes: Sizes, steps: int) -> al.LoaderBatches:
    """Return an epoch of so many minibatches: the class is that of the first token."""
    draw = torch.Generator().manual_seed(1)
    xs = [
        torch.randint(VOCABULARY, (sizes.batch, sizes.length), generator=draw) for _ in range(steps)
    ]
    return al.LoaderBatches([(x, x[:, 0] % CLASSES) for x in xs])

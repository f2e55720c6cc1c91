"""Networks that grow in tests: one layer with all that depends on mode and randomness, and more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

import associated_learning as al
from associated_learning.state.training_state import EpochRecord
from small_networks import batches_of, noisy_network

__all__ = ["after", "first_layer", "fit", "layer"]


def first_layer() -> al.ALNetwork:
    torch.manual_seed(3)
    return noisy_network(1)


def layer(number: int) -> al.ALLayer:
    """Make a layer on top, with BatchNorm and dropout, of a width that tells its number."""
    f = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3))
    below, width = 5 if number == 2 else 4 + number, 5 + number
    return al.ALLayer(
        f=f, b=nn.Linear(8, width), g=nn.Linear(below, width), h=nn.Linear(width, below)
    )


class after:  # noqa: N801  # reads as a function, and can be sent to another process
    """A rule: grow after these epochs."""

    def __init__(self, *epochs: int) -> None:
        self.epochs = epochs

    def __call__(self, records: Sequence[EpochRecord]) -> bool:
        return len(records) in self.epochs

    def __repr__(self) -> str:
        return f"after{self.epochs}"


def fit(
    growth: al.Growth | None,
    folder: Path | None = None,
    *,
    net: al.ALNetwork | None = None,
    validation: al.LoaderBatches | None = None,
    callbacks: Sequence[Any] = (),
    batches: int = 12,
    **options: Any,
) -> tuple[al.ALNetwork, Any]:
    """Train a network that begins with one layer."""
    net = first_layer() if net is None else net
    settings: dict[str, Any] = {"epochs": 6, "lr": 0.01, "clip": 1.0, "seed": 5, **options}
    state = al.Trainer(growth=growth, **settings).fit(
        net,
        al.LoaderBatches(batches_of(batches)),
        al.LoaderBatches(batches_of(2)) if validation is None else validation,
        callbacks=callbacks,
        checkpoints=None if folder is None else al.Checkpoints(folder),
    )
    return net, state

"""Training runs that leave a checkpoint, and what identifies their bits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import associated_learning as al
from associated_learning.state.files import read_json
from conftest import batches_of

__all__ = ["NoisyBatches", "all_kinds_of_layers", "digests", "trained"]


class NoisyBatches(al.LoaderBatches):
    """Batches that are made with torch's own generator, as augmentation makes them."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Any, Tensor]]:
        torch.manual_seed(epoch)
        for x, y in super().epoch(epoch, start):
            yield x + 0.1 * torch.randn_like(x), y


def all_kinds_of_layers(num_layers: int = 4) -> al.ALNetwork:
    """Return a network with BatchNorm, dropout, and a constant among its activations."""
    torch.manual_seed(3)
    encoders = [
        nn.Sequential(
            nn.Linear(6 if i == 0 else 8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3)
        )
        for i in range(num_layers)
    ]
    return al.al_form(encoders, torch.randn(4, 6), al.Classes(4), latent=5)


def trained(
    executor: str, folder: Path | None, *, net: al.Network | None = None, **options: Any
) -> tuple[al.Network, Any]:
    """Train a fresh copy of the same network on the same data."""
    net = all_kinds_of_layers() if net is None else net
    callbacks = options.pop("callbacks", ())
    batches, source = options.pop("batches", 20), options.pop("source", al.LoaderBatches)
    settings: dict[str, Any] = {"epochs": 3, "lr": 0.01, "clip": 1.0, "seed": 5, **options}
    state = al.Trainer(executor=executor, **settings).fit(
        net,
        source(batches_of(batches)),
        al.LoaderBatches(batches_of(2)),
        callbacks=callbacks,
        checkpoints=None if folder is None else al.Checkpoints(folder),
    )
    return net, state


def digests(folder: Path) -> dict[str, str]:
    """Return SHA-256 of all that the last checkpoint holds, but for times, by file."""
    last = al.Checkpoints(folder).path("last")
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(last.glob("*.safetensors"))
    }
    state = read_json(last / "state.json")
    state["progress"].pop("seconds")
    for record in state["progress"]["records"]:
        del record["seconds"], record["validation_seconds"]
    return {**found, "state.json": json.dumps(state, sort_keys=True)}

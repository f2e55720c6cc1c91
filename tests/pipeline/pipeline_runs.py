"""Training runs that leave a checkpoint, and what identifies their bits."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

import associated_learning as al
from associated_learning.state.files import read_json
from small_networks import batches_of

__all__ = [
    "NoisyBatches",
    "all_kinds_of_layers",
    "digests",
    "layers_with_positions",
    "sequential",
    "trained",
]


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


def layers_with_positions(association: Any) -> al.ALNetwork:
    """Return a network that answers at each of several positions."""
    torch.manual_seed(3)
    encoders = [
        nn.Sequential(nn.Linear(6 if i == 0 else 8, 8), nn.ReLU(), nn.Dropout(0.3))
        for i in range(4)
    ]
    target = al.Classes(4, positions=1)
    x = torch.randn(4, 5, 6)
    return al.al_form(encoders, x, target, latent=5, association=association)


def batches_with_positions(count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return batches of 5 positions each, of which a third does not count."""
    draw = torch.Generator().manual_seed(11)
    found = []
    for _ in range(count):
        x = torch.randn(8, 5, 6, generator=draw)
        ignored = torch.rand(8, 5, generator=draw) < 0.3
        found.append((x, x[..., :4].argmax(-1).masked_fill(ignored, -100)))
    return found


def trained(
    executor: str, folder: Path | None, *, net: al.Network | None = None, **options: Any
) -> tuple[al.Network, Any]:
    """Train a fresh copy of the same network on the same data."""
    association = options.pop("positions", None)
    make = batches_of if association is None else batches_with_positions
    if net is None:
        net = layers_with_positions(association) if association else all_kinds_of_layers()
    callbacks = options.pop("callbacks", ())
    batches, source = options.pop("batches", 20), options.pop("source", al.LoaderBatches)
    settings: dict[str, Any] = {"epochs": 3, "lr": 0.01, "clip": 1.0, "seed": 5, **options}
    state = al.Trainer(executor=executor, **settings).fit(
        net,
        source(make(batches)),
        al.LoaderBatches(make(2)),
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


_MADE: dict[str, tuple[dict[str, Any], dict[str, str], dict[str, Tensor]]] = {}


def sequential(**options: Any) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Return digests and weights of a run in one process, without stages.

    What executors are compared with is trained once in a process of pytest.
    """
    key = repr(options)
    if key not in _MADE:
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(os, "fsync"):
            net, _ = trained("sequential", Path(folder), **options)
            # with the options, so that no other schedule ever gets the address of one of these
            _MADE[key] = options, digests(Path(folder)), net.state_dict()
    return _MADE[key][1:]

"""Small networks and batches that many tests share, and what disks do to them."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

import associated_learning as al
from associated_learning.state.files import read_json, write_json

__all__ = ["batches_of", "dense_network", "full_disk", "noisy_network", "without_digests"]


def dense_network(num_layers: int = 3, **options: object) -> al.ALNetwork:
    """Return a small AL network of ``Linear, tanh`` layers, 6 inputs and 4 classes."""
    widths = [6] + [8] * num_layers
    encoders = [
        nn.Sequential(nn.Linear(widths[i], widths[i + 1]), nn.Tanh()) for i in range(num_layers)
    ]
    target = options.pop("target", al.Classes(4))
    return al.al_form(encoders, torch.randn(2, 6), target, latent=5, **options)


def noisy_network(num_layers: int = 3) -> al.ALNetwork:
    """Return an AL network with all that depends on mode and randomness: BatchNorm, dropout."""
    encoders = [
        nn.Sequential(
            nn.Linear(6 if i == 0 else 8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3)
        )
        for i in range(num_layers)
    ]
    return al.al_form(encoders, torch.randn(4, 6), al.Classes(4), latent=5)


def batches_of(count: int, size: int = 8) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return minibatches of a learnable task: the class is the largest of four inputs."""
    generator = torch.Generator().manual_seed(1)
    xs = [torch.randn(size, 6, generator=generator) for _ in range(count)]
    return [(x, x[:, :4].argmax(dim=1)) for x in xs]


@contextmanager
def full_disk(free: int) -> Iterator[None]:
    """Let no file grow beyond ``free`` bytes, which fails a write as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def without_digests(folder: Path) -> None:
    """Make an index as it was before there were digests."""
    index = read_json(folder / "index.json")
    write_json(folder / "index.json", {which: entry["folder"] for which, entry in index.items()})

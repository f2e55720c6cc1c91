"""Any iterable of batches (a DataLoader, a list) as a source whose order can be resumed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from torch import Tensor

from associated_learning.keyed import seeded

__all__ = ["LoaderBatches"]


class LoaderBatches:
    """Wraps a ``DataLoader``, or a list of pairs ``(x, y)``, for `Trainer.fit`.

    What the loader draws at random in the main process (the order of its sampler, random
    transforms without workers) is keyed by (seed, epoch, batch), so an epoch can be entered
    in the middle. The batches before ``start`` are made and thrown away.

    Args:
        loader: Has a length and can be iterated anew for every epoch.
        seed: Keys the order.

    Example:
        >>> import torch
        >>> batches = LoaderBatches([(torch.zeros(2, 3), torch.tensor([0, 1]))])
        >>> len(batches), next(batches.epoch(0))[1].tolist()
        (1, [0, 1])
    """

    def __init__(self, loader: Collection[Any], seed: int = 0) -> None:
        self.loader = loader
        self.seed = seed

    def __len__(self) -> int:
        return len(self.loader)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Any, Tensor]]:
        """Yield the pairs of an epoch, from batch number ``start`` on."""
        with seeded(self.seed, "loader", epoch):
            iterator = iter(self.loader)
        for i in range(len(self.loader)):
            with seeded(self.seed, "batch", epoch, i):
                x, y = next(iterator)
            if i >= start:
                yield x, y

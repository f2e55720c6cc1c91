"""Any iterable of batches (a DataLoader, a list) as a source whose order can be resumed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import torch
from torch import Tensor

from associated_learning.errors import InputError
from associated_learning.tensors.randomness.keyed import derive_seed, seeded

__all__ = ["LoaderBatches"]


class LoaderBatches:
    """Wraps a ``DataLoader``, or a list of pairs ``(x, y)``, for `Trainer.fit`.

    What the loader draws from torch's generators in the main process or in its workers (the
    order of its sampler, random transforms) is keyed by (seed, epoch, batch), so an epoch can be
    entered in the middle; a generator of its own is seeded anew for every epoch. The batches
    before ``start`` are made and thrown away.

    Args:
        loader: Has a length and can be iterated anew for every epoch.
        seed: Keys the order.

    Raises:
        InputError: The loader has no length, or keeps its workers from epoch to epoch (their
            order cannot be keyed); or, when it is run, gives something else than pairs.

    Example:
        >>> import torch
        >>> batches = LoaderBatches([(torch.zeros(2, 3), torch.tensor([0, 1]))])
        >>> len(batches), next(batches.epoch(0))[1].tolist()
        (1, [0, 1])
    """

    def __init__(self, loader: Collection[Any], seed: int = 0) -> None:
        if not hasattr(loader, "__len__"):
            raise InputError(f"a {type(loader).__name__} has no length; expected a list or loader.")
        if getattr(loader, "persistent_workers", False):
            raise InputError(
                "persistent_workers=True came; expected False, so that runs can resume."
            )
        self.loader = loader
        self.seed = seed

    def __len__(self) -> int:
        return len(self.loader)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Any, Tensor]]:
        """Yield the pairs of an epoch, from batch number ``start`` on."""
        self._seed_own_generators(epoch)
        with seeded(self.seed, "loader", epoch):
            iterator = iter(self.loader)
        for i in range(len(self.loader)):
            with seeded(self.seed, "batch", epoch, i):
                batch = next(iterator, None)
            if i >= start:
                yield _pair(batch, i)

    def _seed_own_generators(self, epoch: int) -> None:
        sampler: Any = getattr(self.loader, "sampler", None)
        for owner in (self.loader, sampler):
            generator = getattr(owner, "generator", None)
            if isinstance(generator, torch.Generator):
                generator.manual_seed(derive_seed(self.seed, "generator", epoch))
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(epoch)


def _pair(batch: Any, number: int) -> tuple[Any, Tensor]:
    if batch is None:
        raise InputError(f"the loader ends before batch {number}; expected as many as its length.")
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise InputError(
            f"batch {number} of the loader is of type {type(batch).__name__}; expected a pair "
            "(x, y). Give the DataLoader a collate_fn that returns one."
        )
    return batch[0], batch[1]

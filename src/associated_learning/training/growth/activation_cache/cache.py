"""The activations of frozen layers for whole data sets: computed once, read for every epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from associated_learning.errors import InputError
from associated_learning.training.batch_stream import BatchSource
from associated_learning.training.growth.activation_cache.columns import Form
from associated_learning.training.growth.activation_cache.digests import sample_digests
from associated_learning.training.growth.activation_cache.row_files import RowFiles

__all__ = ["ActivationCache", "CachedBatches"]


class ActivationCache:
    """``s_k`` of samples, found by the content of each; `cache_activations` makes it."""

    def __init__(self, store: RowFiles, form: Form) -> None:
        self._store = store
        self._form = form

    def __len__(self) -> int:
        """Return the number of different samples."""
        return len(self._store.digests)

    @property
    def nbytes(self) -> int:
        """Bytes of all activations on disk."""
        return self._store.nbytes

    def missing(self, x: Any) -> int:
        """Return how many samples of a batch it does not hold."""
        return sum(digest not in self._store.digests for digest in sample_digests(x))

    def read(self, x: Any) -> Any:
        """Return ``s_k`` of a batch, on the CPU.

        Raises:
            InputError: It does not hold one.
        """
        try:
            numbers = [self._store.digests[digest] for digest in sample_digests(x)]
        except KeyError:
            raise InputError(
                f"{self.missing(x)} samples of a batch are not in the cache of activations; "
                "expected only samples that it was made of, unchanged. Leave random augmentation "
                "out, name these batches too when it is made, or train without a cache."
            ) from None
        return self._form.assemble(*self._store.read(numbers))

    def batches(self, source: BatchSource) -> CachedBatches:
        """Return the batches of a source with ``s_k`` in the place of their inputs."""
        return CachedBatches(self, source)


@dataclass(frozen=True, eq=False)
class CachedBatches:
    """A source of batches ``(s_k, y)``: the same samples in the same order as another one's.

    Attributes:
        cache: Where ``s_k`` comes from.
        source: Gives the inputs, by which ``s_k`` is found, and y.
    """

    cache: ActivationCache
    source: BatchSource

    def __len__(self) -> int:
        return len(self.source)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Any, Tensor]]:
        """Yield the batches of an epoch, from number ``start`` on."""
        for x, y in self.source.epoch(epoch, start):
            yield self.cache.read(x), y

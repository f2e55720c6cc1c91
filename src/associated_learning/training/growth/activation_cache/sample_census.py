"""Passes over the data of a cache: which samples there are, and whether they stay the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from associated_learning.errors import InputError
from associated_learning.tensors.batch_checks import check_batch
from associated_learning.tensors.padded_sequence import PaddedSequence
from associated_learning.training.batch_stream import BatchSource
from associated_learning.training.growth.activation_cache.digests import sample_digests

__all__ = ["Batch", "batches", "census", "check_sources"]


class Batch(NamedTuple):
    """The inputs of a minibatch.

    Attributes:
        x: The inputs.
        digests: Of each sample.
    """

    x: Any
    digests: list[bytes]

    @property
    def lengths(self) -> list[int]:
        """Tokens of each sample, 1 for what is no sequence."""
        if isinstance(self.x, PaddedSequence):
            return [int(length) for length in self.x.lengths]
        return [1] * len(self.digests)


def check_sources(sources: Sequence[BatchSource]) -> None:
    """Raise InputError if there is no batch, or samples are augmented at random."""
    if not sources or not all(len(source) for source in sources):
        raise InputError("no batches came; expected those whose activations are to be stored.")
    if any(getattr(source, "augment", None) is not None for source in sources):
        raise InputError(
            "batches with random augmentation came, whose inputs change in every epoch; a cache "
            "holds one activation for each sample. Leave augment out, or train without a cache."
        )


def batches(sources: Sequence[BatchSource], epoch: int) -> Iterator[Batch]:
    """Yield the batches of an epoch of all sources."""
    for source in sources:
        for number, (x, y) in enumerate(source.epoch(epoch)):
            check_batch(x, y, number)
            yield Batch(x, sample_digests(x))


def census(sources: Sequence[BatchSource], epoch: int) -> dict[bytes, int]:
    """Return the digests of all different samples of an epoch, with their lengths."""
    return {
        digest: length
        for batch in batches(sources, epoch)
        for digest, length in zip(batch.digests, batch.lengths, strict=True)
    }

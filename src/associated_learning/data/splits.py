"""The splits that a run trains on, is judged by and is tested on, from those that were read."""

from __future__ import annotations

from torch import Tensor

from associated_learning.data.keys import mix
from associated_learning.data.reading.raw import RawSet
from associated_learning.data.split import cut, limit

__all__ = ["final_splits", "without_validation"]

_TEST, _VALIDATION, _LIMIT = range(3)  # what a seed is for


def final_splits(
    raw: RawSet,
    *,
    test_fraction: float = 0.2,
    validation_fraction: float,
    limit_train: int | None,
    seed: int,
) -> tuple[RawSet, int]:
    """Cut off the splits that are not there, and limit the training split.

    Args:
        raw: The data as they were read.
        test_fraction: Share of every class cut off for testing.
        validation_fraction: Share of every class cut from the training data.
        limit_train: Most training samples, the classes in proportion.
        seed: Keys the choices.

    Returns:
        The data with all three splits; and how many samples the training split had before a
        validation split was cut from it.

    Raises:
        InputError: There are too few samples.
    """
    splits = dict(raw.splits)
    if "test" not in splits:
        train = splits["train"]
        kept, off = cut(_classes(train.labels), test_fraction, seed=mix(seed, _TEST))
        splits["train"], splits["test"] = train.subset(kept), train.subset(off)
    pool = len(splits["train"].labels)
    if "validation" not in splits:
        train = splits["train"]
        kept, off = cut(_classes(train.labels), validation_fraction, seed=mix(seed, _VALIDATION))
        splits["train"], splits["validation"] = train.subset(kept), train.subset(off)
    if limit_train is not None:
        train = splits["train"]
        chosen = limit(_classes(train.labels), limit_train, seed=mix(seed, _LIMIT))
        splits["train"] = train.subset(chosen)
    return raw._replace(splits=splits), pool


def _classes(labels: Tensor) -> Tensor:
    """Return what is kept in proportion: classes; for numbers and sets one class of all."""
    return labels.new_zeros(len(labels)).long() if labels.is_floating_point() else labels


def without_validation(raw: RawSet) -> RawSet:
    """Return data without their own validation split."""
    splits = {name: split for name, split in raw.splits.items() if name != "validation"}
    return raw._replace(splits=splits)

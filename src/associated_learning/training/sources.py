"""Whatever users have their data in, as a source of batches."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any, TypeAlias

from associated_learning.data.array_batches import array_batches
from associated_learning.errors import InputError
from associated_learning.training.batch_stream import BatchSource
from associated_learning.training.loader import LoaderBatches

__all__ = ["Data", "as_source", "as_sources"]

Data: TypeAlias = BatchSource | Iterable[Any] | tuple[Any, Any]


def as_source(data: Data, *, seed: int, shuffle: bool) -> BatchSource:
    """Return data as a source of batches.

    Args:
        data: A source; a pair ``(x, y)`` of arrays, tensors or data frames (`array_batches`); or a
            DataLoader, a list or any other iterable of batches (see `LoaderBatches`).
        seed: Keys the order.
        shuffle: Whether rows of arrays come in another order every epoch.

    Raises:
        InputError: It is none of these, or two arrays have not the same number of rows.

    Example:
        >>> import numpy as np
        >>> source = as_source((np.eye(70), np.arange(70)), seed=0, shuffle=False)
        >>> [(tuple(x.shape), x.dtype) for x, _ in source.epoch(0)]
        [((64, 70), torch.float32), ((6, 70), torch.float32)]
    """
    if hasattr(data, "epoch"):
        return data  # type: ignore[return-value]
    of_arrays = array_batches(data, seed=seed, shuffle=shuffle)
    return LoaderBatches(data, seed) if of_arrays is None else of_arrays


def as_sources(
    train: Data, validation: Data | None, seed: int, *, saved: bool
) -> tuple[BatchSource, BatchSource | None]:
    """Return the data of a training as sources of batches.

    Args:
        train: See `as_source`; shuffled.
        validation: Likewise, in its order; None for none.
        seed: Keys the order.
        saved: Whether the training may be resumed; what may then give other bits is warned of.

    Raises:
        InputError: See `as_source`; or there is no batch.
    """
    source = as_source(train, seed=seed, shuffle=True)
    other = None if validation is None else as_source(validation, seed=seed, shuffle=False)
    if any(one is not None and len(one) == 0 for one in (source, other)):
        raise InputError("the data hold no batch; expected at least one sample.")
    if saved and not getattr(source, "resumes", True):
        warnings.warn(
            "persistent_workers=True came: what workers draw is not keyed, so a run that "
            "resumes may end with other bits than one that was never stopped.",
            stacklevel=3,
        )
    return source, other

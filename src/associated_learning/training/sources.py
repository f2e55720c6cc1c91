"""Whatever users have their data in, as a source of batches."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from associated_learning.data.batches import Batches
from associated_learning.data.samples import TableSamples
from associated_learning.errors import InputError
from associated_learning.training.batch_stream import BatchSource
from associated_learning.training.loader import LoaderBatches

__all__ = ["Data", "as_source", "as_sources"]

BATCH_SIZE = 64  # of arrays

Data: TypeAlias = BatchSource | Iterable[Any] | tuple[Any, Any]


def as_source(data: Data, *, seed: int, shuffle: bool) -> BatchSource:
    """Return data as a source of batches.

    Args:
        data: A source; a pair ``(x, y)`` of arrays or tensors with one row a sample, taken 64 rows
            at a time, real numbers as torch's default type; or a DataLoader, a list or any other
            iterable of batches (see `LoaderBatches`).
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
    if isinstance(data, (tuple, list)) and len(data) == 2 and all(map(_is_array, data)):
        x, y = map(_tensor, data)
        if not x.dim() or not y.dim() or len(x) != len(y):
            raise InputError(
                f"x of shape {list(x.shape)} and y of shape {list(y.shape)} came; expected the "
                "same number of rows, one a sample."
            )
        samples = TableSamples(features=x, labels=y)
        return Batches(samples=samples, batch_size=BATCH_SIZE, shuffle=shuffle, seed=seed)
    return LoaderBatches(data, seed)


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


def _is_array(value: Any) -> bool:
    return isinstance(value, (Tensor, np.ndarray))


def _tensor(array: Any) -> Tensor:
    if isinstance(array, np.ndarray) and array.dtype.kind not in "biuf":
        raise InputError(
            f"an array of type {array.dtype} came; expected numbers. Number the classes from 0, "
            "or use ALClassifier, which takes them by name."
        )
    tensor = torch.tensor(array) if isinstance(array, np.ndarray) else array
    return tensor.to(torch.get_default_dtype()) if tensor.is_floating_point() else tensor

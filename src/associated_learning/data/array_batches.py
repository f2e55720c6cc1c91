"""Arrays, tensors and data frames with one row a sample, as batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from associated_learning.data.batches import Batches
from associated_learning.data.samples import TableSamples
from associated_learning.errors import InputError

__all__ = ["array_batches"]

BATCH_SIZE = 64


def array_batches(data: Any, *, seed: int = 0, shuffle: bool = False) -> Batches | None:
    """Return a pair ``(x, y)`` of arrays as batches of 64 rows; None if it is something else.

    Args:
        data: Numpy arrays, tensors or data frames, with one row a sample; real numbers become
            torch's default type.
        seed: Keys the order.
        shuffle: Whether the rows come in another order every epoch.

    Raises:
        InputError: An array came alone, holds no numbers, or both have not as many rows.

    Example:
        >>> import numpy as np
        >>> batches = array_batches((np.eye(70), np.arange(70)))
        >>> [(tuple(x.shape), x.dtype) for x, _ in batches.epoch(0)]
        [((64, 70), torch.float32), ((6, 70), torch.float32)]
    """
    if _is_array(data):
        raise InputError(
            f"{type(data).__name__} came by itself; expected the pair (x, y) of inputs and labels, "
            "or a DataLoader."
        )
    if not (isinstance(data, (tuple, list)) and len(data) == 2 and all(map(_is_array, data))):
        return None
    x, y = map(_tensor, data)
    if not x.dim() or not y.dim() or len(x) != len(y):
        raise InputError(
            f"x of shape {list(x.shape)} and y of shape {list(y.shape)} came; expected the same "
            "number of rows, one a sample."
        )
    samples = TableSamples(features=x, labels=y)
    return Batches(samples=samples, batch_size=BATCH_SIZE, shuffle=shuffle, seed=seed)


def _is_array(value: Any) -> bool:
    return isinstance(value, (Tensor, np.ndarray)) or hasattr(value, "to_numpy")


def _tensor(array: Any) -> Tensor:
    array = array.to_numpy() if hasattr(array, "to_numpy") else array
    if isinstance(array, np.ndarray) and array.dtype.kind not in "biuf":
        raise InputError(
            f"an array of type {array.dtype} came; expected numbers. Number the classes from 0, "
            "or use ALClassifier, which takes them by name."
        )
    tensor = torch.tensor(array) if isinstance(array, np.ndarray) else array
    return tensor.to(torch.get_default_dtype()) if tensor.is_floating_point() else tensor

"""How much each row of the user's own file counts in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from associated_learning.data.tables.row_places import Where, row_of
from associated_learning.errors import InputError

__all__ = ["sample_weights"]


def sample_weights(values: Sequence[Any], where: Where) -> Tensor:
    """Return a column of weights, ``[N]`` (float64).

    Raises:
        InputError: One is missing, below 0, infinite or no number, with the place of its row; or
            all are 0.

    Example:
        >>> sample_weights([1, 2.5], "the training split").tolist()
        [1.0, 2.5]
    """
    for row, value in enumerate(values):
        if type(value) not in (int, float) or not 0 <= value < float("inf"):
            what = "missing" if value is None or value != value else repr(value)
            raise InputError(
                f"the weight of {row_of(row, where)} is {what}: expected a finite number of 0 or "
                "more; mend or leave out the row, or choose another weight column"
            )
    if not any(values):
        raise InputError(
            f"all weights of {where} are 0: expected some above; choose another column"
        )
    return torch.tensor(values, dtype=torch.float64)

"""Numbers as targets: told from classes, read from a column, standardised and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from associated_learning.data.tables.row_places import Where, row_of
from associated_learning.errors import InputError

__all__ = ["TargetScale", "are_numbers", "target_numbers"]

_FEW = 20  # so many different whole numbers may be classes whatever they are
_ROWS = 10  # that each class has at least on the mean, where there are more


class TargetScale(NamedTuple):
    """Mean and standard deviation of the targets of the training split, in the user's units."""

    mean: float
    std: float

    @classmethod
    def of(cls, values: Tensor) -> TargetScale:
        """Return those of numbers ``[N]``.

        Raises:
            InputError: They are all the same.
        """
        std = float(values.double().std(unbiased=False))
        if std == 0:
            raise InputError(
                f"all training targets are {float(values[0]):g}: expected different numbers; is "
                "the label column the right one?"
            )
        return cls(float(values.double().mean()), std)

    def standardised(self, values: Tensor) -> Tensor:
        """Return numbers ``[N]`` as a network learns them (float32)."""
        return ((values.double() - self.mean) / self.std).float()

    def in_units(self, outputs: Tensor) -> Tensor:
        """Return what a network answers in the user's units (float64).

        Example:
            >>> import torch
            >>> scale = TargetScale.of(torch.tensor([1.0, 3.0]))
            >>> scale.in_units(scale.standardised(torch.tensor([1.0, 5.0]))).tolist()
            [1.0, 5.0]
        """
        return outputs.double() * self.std + self.mean


def are_numbers(values: Sequence[Any]) -> bool:
    """Return whether a column's values are numbers to be told rather than classes.

    They are, if one has a fraction; or if there are more than 20 different ones, which do not
    count from 0 or 1 upwards with 10 rows or more for each.

    Example:
        >>> are_numbers([0.5, 1.0]), are_numbers([3, 5, 3]), are_numbers(list(range(100)))
        (True, False, True)
    """
    known = [value for value in values if value is not None]
    if not known or not all(type(value) in (int, float) for value in known):
        return False
    distinct = set(known)
    if any(not float(value).is_integer() for value in distinct):
        return True
    if len(distinct) <= _FEW:
        return False
    least, most = min(distinct), max(distinct)
    counted = least in (0, 1) and most - least + 1 == len(distinct)
    return not (counted and len(known) >= _ROWS * len(distinct))


def target_numbers(values: Sequence[Any], where: Where) -> Tensor:
    """Return a column of targets as numbers ``[N]`` (float64).

    Raises:
        InputError: One is missing, infinite or no number; names its row.

    Example:
        >>> target_numbers([1, 2.5], "the training split").tolist()
        [1.0, 2.5]
    """
    for row, value in enumerate(values):
        if type(value) not in (int, float) or not abs(value) < float("inf"):
            what = "missing" if value is None or value != value else repr(value)
            raise InputError(
                f"the target of {row_of(row, where)} is {what}: expected a finite number; mend or "
                "leave out the row, or choose another label column"
            )
    return torch.tensor(values, dtype=torch.float64)

"""Rows of numbers to standardised features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from associated_learning.data.samples import TableSamples
from associated_learning.errors import InputError

__all__ = ["Row", "TablePreprocessor", "check_finite"]

Row: TypeAlias = Sequence[float] | Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class TablePreprocessor:
    """Standardises every column with the mean and deviation of the training split.

    Attributes:
        columns: Names, in the order of the features.
        mean: Per column.
        std: Per column; 1 where a column is constant.

    Example:
        >>> preprocessor = TablePreprocessor.fit([[1.0, 5.0], [3.0, 5.0]], columns=("a", "b"))
        >>> preprocessor([{"a": 3.0, "b": 6.0}]).tolist()
        [[1.0, 1.0]]
    """

    kind: ClassVar[str] = "table"
    columns: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def fit(
        cls, rows: Sequence[Row] | NDArray[np.float64], *, columns: Sequence[str]
    ) -> TablePreprocessor:
        """Return a preprocessor with the statistics of ``rows``, the training split.

        Raises:
            InputError: A value is missing, infinite or no number; names row and column.
        """
        values = _matrix(rows, tuple(columns))
        mean, std = values.mean(axis=0), values.std(axis=0)
        std = np.where(std > 0, std, 1.0)
        return cls(columns=tuple(columns), mean=tuple(mean.tolist()), std=tuple(std.tolist()))

    def samples(self, inputs: Sequence[Row] | NDArray[np.float64], labels: Tensor) -> TableSamples:
        """Return rows and labels in memory."""
        return TableSamples(features=self._features(inputs), labels=labels)

    def __call__(self, inputs: Sequence[Row]) -> Tensor:
        """Return rows as ``[B, F]`` (float32); a row is numbers in order, or by column name.

        Raises:
            InputError: No row, a row of another width, a missing column or a bad value.
        """
        if len(inputs) == 0:
            raise InputError("expected one or more rows")
        return self._features(inputs)

    def to_dict(self) -> dict[str, Any]:
        """Return everything to rebuild this, as values that JSON can hold."""
        return {
            "kind": self.kind,
            "columns": list(self.columns),
            "mean": list(self.mean),
            "std": list(self.std),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TablePreprocessor:
        """Rebuild what `to_dict` gave."""
        return cls(
            columns=tuple(values["columns"]),
            mean=tuple(values["mean"]),
            std=tuple(values["std"]),
        )

    def _features(self, rows: Sequence[Row] | NDArray[np.float64]) -> Tensor:
        values = (_matrix(rows, self.columns) - np.array(self.mean)) / np.array(self.std)
        return torch.from_numpy(values.astype(np.float32))


def check_finite(
    values: NDArray[np.float64], columns: Sequence[str], where: str = "the rows"
) -> None:
    """Check that a table ``[N, F]`` holds finite numbers only.

    Raises:
        InputError: It does not; names row (from 0) and column.
    """
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column = bad[0]
        raise InputError(
            f"row {row} of {where}, column {columns[column]!r}: the value is"
            f" {values[row, column]}; expected a finite number: fill in or leave out such rows"
        )


def _matrix(
    rows: Sequence[Row] | NDArray[np.float64], columns: tuple[str, ...]
) -> NDArray[np.float64]:
    """Return ``[N, F]``, every value checked."""
    if not isinstance(rows, np.ndarray):
        rows = _from_rows(rows, columns)
    check_finite(rows, columns)
    return rows


def _from_rows(rows: Sequence[Row], columns: tuple[str, ...]) -> NDArray[np.float64]:
    matrix = np.empty((len(rows), len(columns)))
    for i, row in enumerate(rows):
        matrix[i] = _numbers(row, i, columns)
    return matrix


def _numbers(row: Row, i: int, columns: tuple[str, ...]) -> list[float]:
    if isinstance(row, Mapping):
        missing = [column for column in columns if column not in row]
        if missing:
            raise InputError(f"row {i} lacks {missing}: expected the columns {list(columns)}")
        row = [row[column] for column in columns]
    if len(row) != len(columns):
        raise InputError(f"row {i} has {len(row)} values: expected {len(columns)} {list(columns)}")
    try:
        return [float(value) for value in row]
    except (TypeError, ValueError) as error:
        raise InputError(f"row {i} holds something that is no number: {error}") from error

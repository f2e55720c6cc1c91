"""Rows of a table to standardised features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from associated_learning.data.samples import TableSamples
from associated_learning.data.tables.row_places import RowError
from associated_learning.data.tables.table_encoding import ColumnEncoding, plain_number
from associated_learning.data.tables.written_numbers import number_of
from associated_learning.errors import InputError

__all__ = ["Row", "Rows", "TablePreprocessor", "check_finite"]

Row: TypeAlias = Sequence[Any] | Mapping[str, Any]
Rows: TypeAlias = Sequence[Row] | NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class TablePreprocessor:
    """Standardises every feature with the mean and deviation of the training split.

    A column of numbers is one feature. Categories and missing values make more of it
    (`ColumnEncoding`).

    Attributes:
        columns: Names, in their order in a row.
        mean: Per feature.
        std: Per feature; 1 where it is constant.
        encodings: Of the columns; empty where all are numbers and none is missing.

    Example:
        >>> preprocessor = TablePreprocessor.fit([[1.0, 5.0], [3.0, 5.0]], columns=("a", "b"))
        >>> preprocessor([{"a": 3.0, "b": 6.0}]).tolist()
        [[1.0, 1.0]]
    """

    kind: ClassVar[str] = "table"
    columns: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    encodings: tuple[ColumnEncoding, ...] = ()

    @classmethod
    def fit(cls, rows: Rows, *, columns: Sequence[str]) -> TablePreprocessor:
        """Return a preprocessor with the statistics of ``rows``, the training split.

        Raises:
            RowError: A value is infinite or no number; names row and column.
        """
        encodings: tuple[ColumnEncoding, ...] = ()
        if not isinstance(rows, np.ndarray) or rows.dtype == object or np.isnan(rows).any():
            raw = _raw(rows, tuple(columns))
            encodings = tuple(ColumnEncoding.fit(column) for column in raw.T)
            encodings = encodings if any(one.to_dict() for one in encodings) else ()
        values = _matrix(rows, tuple(columns), encodings)
        mean, std = values.mean(axis=0), values.std(axis=0)
        std = np.where(std > 0, std, 1.0)
        return cls(
            columns=tuple(columns),
            mean=tuple(mean.tolist()),
            std=tuple(std.tolist()),
            encodings=encodings,
        )

    def samples(self, inputs: Rows, labels: Tensor) -> TableSamples:
        """Return rows and labels in memory."""
        return TableSamples(features=self._features(inputs), labels=labels)

    def __call__(self, inputs: Sequence[Row]) -> Tensor:
        """Return rows as ``[B, F]`` (float32); a row is values in order, or by column name.

        Raises:
            InputError: No row came.
            RowError: A row has another width, lacks a column or holds a bad value.
        """
        if len(inputs) == 0:
            raise InputError("expected one or more rows")
        return self._features(inputs)

    def with_points(self, values: Sequence[Any], decimal: str) -> list[Any]:
        """Return the values of a row with the numbers among them read by their decimal sign.

        Args:
            values: One a column.
            decimal: See `number_of`.

        Example:
            >>> fitted = TablePreprocessor.fit([["a", 1.0], ["b", 2.0]], columns=("kind", "x"))
            >>> fitted.with_points(["1,5", "1,5"], ",")
            ['1,5', 1.5]
        """
        encodings = self.encodings or (ColumnEncoding(),) * len(values)
        return [
            value if one.categories or not isinstance(value, str) else _read(value, decimal)
            for value, one in zip(values, encodings, strict=True)
        ]

    def categorical(self, rows: Rows) -> Iterator[tuple[str, ColumnEncoding, NDArray[Any]]]:
        """Yield the name, the encoding and the values of each column of categories."""
        if not any(one.categories for one in self.encodings):
            return
        for name, one, column in zip(
            self.columns, self.encodings, _raw(rows, self.columns).T, strict=True
        ):
            if one.categories:
                yield name, one, column

    def to_dict(self) -> dict[str, Any]:
        """Return everything to rebuild this, as values that JSON can hold."""
        values = {
            "kind": self.kind,
            "columns": list(self.columns),
            "mean": list(self.mean),
            "std": list(self.std),
        }
        if self.encodings:
            values["encodings"] = [one.to_dict() for one in self.encodings]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TablePreprocessor:
        """Rebuild what `to_dict` gave."""
        encodings = tuple(map(ColumnEncoding.from_dict, values.get("encodings", ())))
        if encodings and len(encodings) != len(values["columns"]):
            raise InputError(
                f"preprocessing came with {len(encodings)} encodings; expected one for each of "
                f"{len(values['columns'])} columns"
            )
        return cls(
            columns=tuple(values["columns"]),
            mean=tuple(values["mean"]),
            std=tuple(values["std"]),
            encodings=encodings,
        )

    def _features(self, rows: Rows) -> Tensor:
        values = _matrix(rows, self.columns, self.encodings)
        values = (values - np.array(self.mean)) / np.array(self.std)
        return torch.from_numpy(values.astype(np.float32))


def check_finite(values: NDArray[np.float64], columns: Sequence[str]) -> None:
    """Check that a table ``[N, F]`` holds finite numbers only.

    Raises:
        RowError: It does not; names row (from 0) and column.
    """
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column = map(int, bad[0])
        raise RowError(
            row,
            f", column {columns[column]!r}: the value is {values[row, column]}; expected a finite"
            " number: fill in or leave out such rows",
        )


def _matrix(
    rows: Rows, columns: tuple[str, ...], encodings: tuple[ColumnEncoding, ...]
) -> NDArray[np.float64]:
    """Return ``[N, F]``, every value checked."""
    if encodings:
        of_columns = zip(encodings, _raw(rows, columns).T, columns, strict=True)
        return np.hstack([one.encode(column, name) for one, column, name in of_columns])
    if isinstance(rows, np.ndarray) and rows.dtype == object:
        rows = rows.tolist()
    if not isinstance(rows, np.ndarray):
        rows = _from_rows(rows, columns)
    check_finite(rows, columns)
    return rows


def _raw(rows: Rows, columns: tuple[str, ...]) -> NDArray[Any]:
    """Return the values as they came, ``[N, columns]``."""
    if isinstance(rows, np.ndarray):
        return rows
    raw = np.empty((len(rows), len(columns)), object)
    for i, row in enumerate(rows):
        raw[i] = _values(row, i, columns)
    return raw


def _from_rows(rows: Sequence[Row], columns: tuple[str, ...]) -> NDArray[np.float64]:
    matrix = np.empty((len(rows), len(columns)))
    for i, row in enumerate(rows):
        matrix[i] = _numbers(row, i, columns)
    return matrix


def _read(text: str, decimal: str) -> float | str:
    """Return the number that a text is; else the text, which is told where it is used."""
    try:
        number = number_of(text, decimal=decimal)
    except ValueError:
        return text
    return text if number is None else number


def _values(row: Row, i: int, columns: tuple[str, ...]) -> list[Any]:
    if isinstance(row, Mapping):
        missing = [column for column in columns if column not in row]
        if missing:
            raise RowError(i, f" lacks {missing}: expected the columns {list(columns)}")
        row = [row[column] for column in columns]
    if len(row) != len(columns):
        raise RowError(i, f" has {len(row)} values: expected {len(columns)} {list(columns)}")
    return list(row)


def _numbers(row: Row, i: int, columns: tuple[str, ...]) -> list[float]:
    numbers = []
    for name, value in zip(columns, _values(row, i, columns), strict=True):
        try:
            numbers.append(float(plain_number(value)))
        except (TypeError, ValueError):
            raise RowError(
                i, f", column {name!r}: the value is {value!r}; expected a number: fill it in"
            ) from None
    return numbers

"""Columns of a read split as plain inputs, with the faults named by row and column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from associated_learning.data.table_preprocessor import check_finite
from associated_learning.errors import InputError, needs_extra

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["check_columns", "images", "is_numeric", "numbers", "texts", "values"]


def check_columns(split: Dataset, wanted: Sequence[str], where: str) -> None:
    """Check that ``split`` has the columns ``wanted``.

    Raises:
        InputError: One is missing; lists those there are.
    """
    missing = [column for column in wanted if column not in split.column_names]
    if missing:
        raise InputError(
            f"{where} has no column {missing[0]!r}: its columns are"
            f" {', '.join(map(repr, split.column_names))}"
        )


def is_numeric(split: Dataset, column: str) -> bool:
    """Return whether ``column`` holds numbers or booleans."""
    # not by `features`, of which every look makes a copy
    dtype = str(split.data.schema.field(column).type)
    return dtype.startswith(("int", "uint", "float", "halffloat", "double", "bool", "decimal"))


def values(split: Dataset, column: str) -> list[Any]:
    """Return a column as Python values."""
    listed: list[Any] = split.data.column(column).to_pylist()
    return listed


def texts(split: Dataset, columns: Sequence[str], where: str) -> list[str]:
    """Return the texts of ``columns``, joined by a space where there are several.

    Raises:
        InputError: A text is missing, or the column holds something else.
    """
    parts = [values(split, column) for column in columns]
    for column, listed in zip(columns, parts, strict=True):
        for row, text in enumerate(listed):
            if not isinstance(text, str):
                what = (
                    "missing (an empty field)"
                    if text is None
                    else f"{type(text).__name__} {text!r}"
                )
                raise InputError(
                    f"row {row} of {where}, column {column!r}: the text is {what}; fill it"
                    " in, leave the row out, or choose another text column"
                )
    return parts[0] if len(parts) == 1 else [" ".join(row) for row in zip(*parts, strict=True)]


def images(split: Dataset, column: str) -> list[Any]:
    """Return a column of images as encoded bytes, or as paths where no bytes are held."""
    with needs_extra("data", "a column of images"):
        from datasets import Image

    entries = values(split.cast_column(column, Image(decode=False)), column)
    return [entry["bytes"] if entry["bytes"] is not None else entry["path"] for entry in entries]


def numbers(split: Dataset, columns: Sequence[str], where: str) -> NDArray[np.float64]:
    """Return numeric columns as ``[N, F]``.

    Raises:
        InputError: A column holds no numbers, or a number is missing or infinite.
    """
    for column in columns:
        if not is_numeric(split, column):
            raise InputError(
                f"column {column!r} of {where} holds no numbers: choose other feature"
                " columns, or name it as the text column"
            )
    table = np.stack([_floats(split, column, where) for column in columns], axis=1)
    check_finite(table, columns, where)
    return table


def _floats(split: Dataset, column: str, where: str) -> NDArray[np.float64]:
    try:
        return split.data.column(column).cast("float64").to_numpy().astype(np.float64)  # type: ignore[no-any-return]
    except ValueError as error:  # as pyarrow's own are
        raise InputError(
            f"column {column!r} of {where} holds whole numbers that no float64 is equal to"
            f" ({error}): divide them, or leave the column out if they are names or numbers of rows"
        ) from error

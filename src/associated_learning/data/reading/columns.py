"""Columns of a read split as plain inputs, with the faults named by row and column."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from associated_learning.data.tables.row_places import RowError, Where, row_of
from associated_learning.data.tables.table_encoding import is_missing
from associated_learning.data.tables.table_preprocessor import check_finite
from associated_learning.data.tables.written_numbers import DECIMAL_COMMAS, has_decimal_comma
from associated_learning.errors import InputError, nearest, needs_extra

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = [
    "check_columns",
    "check_features",
    "images",
    "is_numeric",
    "table",
    "texts",
    "values",
]

_MOST_CATEGORIES = 100
_NO_NAME = re.compile(r"-?\d+\.?\d*|Unnamed: \d+")  # of a column: a value, or what pandas calls it
_DATE = re.compile(r"\d{4}-\d\d?-\d\d?([ T]\d\d?:.*)?|\d\d?[./]\d\d?[./]\d{2,4}")


def check_columns(split: Dataset, wanted: Sequence[str], where: str) -> None:
    """Check that ``split`` has the columns ``wanted``.

    Raises:
        InputError: One is missing; lists those there are.
    """
    missing = [column for column in wanted if column not in split.column_names]
    if missing:
        known = split.column_names
        hint = nearest(missing[0], known)
        if len(known) == 1 and ";" in known[0]:
            hint = " It seems that ; stands between them: write the file with commas, or as .tsv."
        elif any(_NO_NAME.fullmatch(name) for name in known):
            hint = " It seems that the first line is no header: write one with the names above it."
        raise InputError(
            f"{where} has no column {missing[0]!r}: its columns are"
            f" {', '.join(map(repr, known))}.{hint}"
        )


def is_numeric(split: Dataset, column: str, *, truth: bool = True) -> bool:
    """Return whether ``column`` holds numbers, or (with ``truth``) truth values."""
    # not by `features`, of which every look makes a copy
    dtype = str(split.data.schema.field(column).type)
    numbers = ("int", "uint", "float", "halffloat", "double", "decimal")
    return dtype.startswith((*numbers, "bool") if truth else numbers)


def values(split: Dataset, column: str) -> list[Any]:
    """Return a column as Python values."""
    listed: list[Any] = split.data.column(column).to_pylist()
    return listed


def texts(split: Dataset, columns: Sequence[str], where: Where) -> list[str]:
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
                    f"{row_of(row, where)}, column {column!r}: the text is {what}; fill it in,"
                    " leave the row out, or choose another text column"
                )
    return parts[0] if len(parts) == 1 else [" ".join(row) for row in zip(*parts, strict=True)]


def images(split: Dataset, column: str) -> list[Any]:
    """Return a column of images as encoded bytes, or as paths where no bytes are held."""
    with needs_extra("data", "a column of images"):
        from datasets import Image

    entries = values(split.cast_column(column, Image(decode=False)), column)
    return [entry["bytes"] if entry["bytes"] is not None else entry["path"] for entry in entries]


def check_features(split: Dataset, columns: Sequence[str], path: object) -> None:
    """Check that columns can be the features of a table: numbers or categories.

    Raises:
        InputError: Some cannot; says of each why, and what to do.
    """
    faults = {column: fault for column in columns if (fault := _fault(split, column)) is not None}
    if faults or not columns:
        told = "; ".join(f"{column!r} {fault}" for column, fault in faults.items())
        rest = ",".join(column for column in columns if column not in faults)
        leave = f"; to leave {'it' if len(faults) == 1 else 'them'} out: --feature-columns '{rest}'"
        raise InputError(
            f"{path} has the columns {', '.join(map(repr, split.column_names))}, of which"
            f" {told or 'none is left for the features'}. Choose the text column (--text-column),"
            f" or the columns that are features (--feature-columns){leave if rest else ''}"
        )


def _fault(split: Dataset, column: str) -> str | None:
    """Return why a column is neither one of numbers nor one of categories."""
    if is_numeric(split, column):
        return None
    listed = values(split, column)
    known = [value for value in listed if not is_missing(value)]
    if not all(isinstance(value, str) for value in known):
        kind = split.data.schema.field(column).type
        dates = str(kind).startswith(("timestamp", "date", "time"))
        return _DATES if dates else f"holds {kind}, neither numbers nor texts"
    if known and all(_DATE.fullmatch(value.strip()) for value in known):
        return _DATES
    if has_decimal_comma(known):
        return DECIMAL_COMMAS.format(next(value for value in known if "," in value))
    distinct = len({value.strip() for value in known})
    if distinct > _MOST_CATEGORIES or 2 * distinct > len(listed):
        return (
            f"holds no numbers, and {distinct} different texts in {len(listed)} rows (such as"
            f" {known[0]!r:.40}), too many to be categories"
        )
    return None


_DATES = "holds dates: make numbers of them, such as days since the first or the month"


def table(split: Dataset, columns: Sequence[str], where: Where) -> NDArray[Any]:
    """Return feature columns as ``[N, C]``: float64, NaN where one is missing; else objects.

    Raises:
        InputError: A number is infinite.
    """
    numeric = [column for column in columns if is_numeric(split, column, truth=False)]
    found = np.empty((len(split), 0))
    if numeric:
        found = np.stack([_floats(split, column, where) for column in numeric], axis=1)
        try:
            check_finite(np.where(np.isnan(found), 0.0, found), numeric)
        except RowError as error:
            raise error.at(row_of(error.row, where)) from None
    if len(numeric) == len(columns):
        return found
    rows = np.empty((len(split), len(columns)), object)
    for i, column in enumerate(columns):
        rows[:, i] = values(split, column)
    return rows


def _floats(split: Dataset, column: str, where: Where) -> NDArray[np.float64]:
    try:
        return split.data.column(column).cast("float64").to_numpy().astype(np.float64)  # type: ignore[no-any-return]
    except ValueError as error:  # as pyarrow's own are
        raise InputError(
            f"column {column!r} of {where} holds whole numbers that no float64 is equal to"
            f" ({error}): divide them, or leave the column out if they are names or numbers of rows"
        ) from error

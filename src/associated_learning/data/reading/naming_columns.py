"""Columns of the user's own file that tell nothing of a row: its name or number, or nothing."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from associated_learning.data.reading.columns import is_numeric, values

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["without_names"]

# "Unnamed: 0" is what pandas calls the index that it wrote
_NAMES = re.compile(
    r"unnamed: \d+|(?:.*[ _-])?(?:id|uuid|guid|index|idx|key|nr|no)|.*[a-z](?:ID|Id)"
)
_FEW = 10  # rows, of which all may differ by chance


def without_names(split: Dataset, columns: Sequence[str]) -> list[str]:
    """Return the columns to learn from, warning of those that are left out.

    Left out are columns without any value, and those that by their name and values number or name
    the rows: a different whole number or text in each, from which nothing can be learned but the
    order in which the rows were written.
    """
    empty = [one for one in columns if split.data.column(one).null_count == len(split)]
    naming = [one for one in columns if one not in empty and _names_rows(split, one)]
    kept = [one for one in columns if one not in (*empty, *naming)]
    for found, why in ((empty, "no row has a value there"), (naming, "each row has its own")):
        if found and kept:
            warnings.warn(
                f"left out {', '.join(map(repr, found))}: {why} (--feature-columns chooses)",
                stacklevel=3,
            )
    return kept or list(columns)


def _names_rows(split: Dataset, column: str) -> bool:
    if len(split) < _FEW or not (_NAMES.fullmatch(column) or _NAMES.fullmatch(column.lower())):
        return False
    listed = values(split, column)
    whole = is_numeric(split, column, truth=False) and all(type(one) is int for one in listed)
    return (whole or all(isinstance(one, str) for one in listed)) and len(set(listed)) == len(
        listed
    )

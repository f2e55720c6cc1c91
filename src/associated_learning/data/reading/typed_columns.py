"""Columns of a read CSV or TSV file as what they hold: names without spaces, numbers as numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from associated_learning.data.tables.written_numbers import numbers_of
from associated_learning.errors import needs_extra

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["with_numbers"]


def with_numbers(split: Dataset, decimal: str) -> Dataset:
    """Return a split whose columns of texts hold numbers where all of their texts are such.

    Args:
        split: As it was read: a column of 38, "?" and 41 came as texts.
        decimal: See `number_of`.
    """
    with needs_extra("data", "reading files"):
        import pyarrow
        from datasets import Dataset
        from datasets.table import InMemoryTable

    read = split.data.table
    columns = []
    for column in read.columns:
        numbers = None
        if pyarrow.types.is_string(column.type) or pyarrow.types.is_large_string(column.type):
            texts = (text for chunk in column.chunks for text in chunk.to_pylist())
            numbers = numbers_of(texts, decimal=decimal)
        columns.append(column if numbers is None else pyarrow.array(numbers))
    names = [name.strip() for name in read.column_names]
    changed = [new is not old for new, old in zip(columns, read.columns, strict=True)]
    if names == read.column_names and not any(changed):
        return split
    return Dataset(InMemoryTable(pyarrow.table(columns, names=names)))

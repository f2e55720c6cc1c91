"""What to call a row in a message: by its line, where users can look it up in their file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from typing_extensions import Self

from associated_learning.data.tables.dialect import SEPARATED, Dialect
from associated_learning.errors import InputError
from associated_learning.state.files import open_regular

__all__ = ["FileRows", "RowError", "Where", "row_of"]


@dataclass(frozen=True)
class FileRows:
    r"""The rows of a file, or some of them.

    Attributes:
        path: The file.
        split: What they are together, such as "the train split".
        numbers: The place of each in the file, from 0; None for all in order.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "sales.csv")
        >>> _ = path.write_text('text,label\n"two\nlines",a\n\nlast,b\n')
        >>> rows = FileRows(path, "the train split")
        >>> rows.row(1).replace(str(path), path.name), str(rows)
        ('line 5 of sales.csv', 'the train split')
    """

    path: Path
    split: str
    numbers: Sequence[int] | None = None

    def __str__(self) -> str:
        return self.split

    def row(self, number: int) -> str:
        """Return what to call a row: by the line that it begins in, if the file has lines."""
        number = number if self.numbers is None else self.numbers[number]
        line = next(islice(_lines(self.path), number, None), None)
        return f"row {number + 1} of {self.path}" if line is None else f"line {line} of {self.path}"

    def subset(self, indices: Sequence[int]) -> Self:
        """Return the rows at ``indices``."""
        taken = indices if self.numbers is None else [self.numbers[i] for i in indices]
        return replace(self, numbers=taken)


Where: TypeAlias = str | FileRows


class RowError(InputError):
    """Something is wrong with one of the rows that came.

    Attributes:
        row: Which of them, from 0.
        what: What is wrong, to follow what the row is called.
    """

    def __init__(self, row: int, what: str) -> None:
        self.row, self.what = row, what
        super().__init__(f"row {row}{what}")

    def at(self, place: str) -> InputError:
        """Return the same error of a row that is called by its place."""
        return InputError(f"{place}{self.what}")


def row_of(row: int, where: Where) -> str:
    """Return what to call a row, counted from 0.

    Example:
        >>> row_of(3, "the test split")
        'row 3 of the test split'
    """
    return where.row(row) if isinstance(where, FileRows) else f"row {row} of {where}"


def _lines(path: Path) -> Iterator[int]:
    """Yield the number of the line, from 1, in which each row of a file of lines begins."""
    ending = path.suffix.lower()
    dialect = Dialect.of(path) if ending in SEPARATED else Dialect(",")
    with open_regular(path) as file:
        text = io.TextIOWrapper(file, encoding=dialect.encoding, errors="replace", newline="")
        if ending in SEPARATED:
            yield from islice(_records(text, dialect.separator), 1, None)  # below the header
        elif ending in (".json", ".jsonl") and text.read(1) == "{":
            text.seek(0)
            yield from (number for number, line in enumerate(text, start=1) if line.strip())


def _records(text: io.TextIOWrapper, separator: str) -> Iterator[int]:
    """Yield the line in which each record begins; blank lines are none, as pandas reads them."""
    reader, begin = csv.reader(text, delimiter=separator), 1
    try:
        for fields in reader:
            if len(fields) > 1 or (fields and (fields == [""] or fields[0].strip())):
                yield begin
            begin = reader.line_num + 1
    except csv.Error:  # beyond what this reader takes, so that lines cannot be told
        return

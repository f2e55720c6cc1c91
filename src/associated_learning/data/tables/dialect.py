"""How a file of columns is written: its encoding, and what stands between two fields."""

from __future__ import annotations

import csv
import io
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from associated_learning.state.files import open_regular

__all__ = ["SEPARATED", "Dialect", "encoding_of"]

SEPARATED = (".csv", ".tsv")
_SEPARATORS = ",;\t|"  # of equals the first
_BEGINNING = 2**20  # bytes that are looked at
_ROWS = 20
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class Dialect(NamedTuple):
    """How a file ending in .csv or .tsv is written.

    Attributes:
        separator: Between two fields.
        encoding: By which its bytes are text.
    """

    separator: str
    encoding: str = "utf-8-sig"

    @property
    def decimal(self) -> str:
        """What stands before the fraction of a number; with semicolons spreadsheets write 80,5."""
        return "," if self.separator == ";" else "."

    @classmethod
    def of(cls, path: Path) -> Dialect:
        r"""Return that of a file, by its first rows: .csv files may hold semicolons or tabs.

        Raises:
            OSError: It cannot be read.

        Example:
            >>> import pathlib, tempfile
            >>> path = pathlib.Path(tempfile.mkdtemp(), "sales.csv")
            >>> _ = path.write_text("price;label\n80,5;a\n")
            >>> Dialect.of(path).separator
            ';'
        """
        with open_regular(path) as file:
            beginning = file.read(_BEGINNING)
        encoding = encoding_of(beginning)
        if path.suffix.lower() == ".tsv":
            return cls("\t", encoding)
        text = beginning.decode(encoding, errors="replace")
        fields = {separator: _fields(text, separator) for separator in _SEPARATORS}
        most = max(fields, key=lambda separator: fields[separator])
        return cls(most if fields[most] > 1 else ",", encoding)


def encoding_of(beginning: bytes) -> str:
    """Return the encoding of a text: UTF-16 where its first bytes say so, else UTF-8.

    Example:
        >>> encoding_of("a".encode("utf-16")), encoding_of(b"a")
        ('utf-16', 'utf-8-sig')
    """
    return "utf-16" if beginning.startswith(_UTF16) else "utf-8-sig"


def _fields(text: str, separator: str) -> int:
    """Return how many fields each of the first rows has; 0 if they are not all as many."""
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        counts = {len(row) for row in islice(lines, _ROWS) if row}
    except csv.Error:
        return 0
    return counts.pop() if len(counts) == 1 else 0

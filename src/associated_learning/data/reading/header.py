"""The form of a file: what readers would guess at without a word, or crash on."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from associated_learning.data.tables.dialect import Dialect
from associated_learning.errors import InputError
from associated_learning.state.files import check_depth, open_regular

__all__ = ["check_header", "check_nesting"]

_BEGINNING = 2**20  # bytes that are looked at


def check_header(path: Path, dialect: Dialect) -> list[str]:
    """Check that a file's columns have different names, and its first row as many fields.

    Later rows with more fields are refused by the reader itself; of the first one it would make
    names of rows.

    Returns:
        The names, as pandas has them.

    Raises:
        InputError: Two columns have one name, or the first row has more fields than the header.
    """
    try:
        with open_regular(path) as file:
            beginning = file.read(_BEGINNING).decode(dialect.encoding, errors="replace")
        lines = csv.reader(io.StringIO(beginning, newline=""), delimiter=dialect.separator)
        written, first = next(lines, []), next(lines, [])
    except (OSError, csv.Error) as error:
        raise InputError(f"cannot read {path} ({error}): is it a whole file of columns?") from error
    header = [name.strip() for name in written]
    twice = [name for name in dict.fromkeys(header) if header.count(name) > 1]
    if twice:
        raise InputError(
            f"{path} has {header.count(twice[0])} columns of the name {twice[0]!r}: give each one"
            " its own"
        )
    if len(first) > len(header) > 0:
        raise InputError(
            f"the first row of {path} has {len(first)} fields, but the header names"
            f" {len(header)}: name every column, and quote texts that hold {dialect.separator!r}"
        )
    return [name or f"Unnamed: {i}" for i, name in enumerate(written)]


def check_nesting(path: Path) -> None:
    """Check that the values in a file of JSON are not nested without end.

    Raises:
        InputError: They are, or the file cannot be read; names the line.
    """
    try:
        with open_regular(path) as file:
            for number, line in enumerate(file, start=1):
                try:
                    check_depth(line)
                except ValueError as error:
                    what = str(error).removeprefix("it ")
                    raise InputError(
                        f"line {number} of {path} {what}: expected texts, numbers and labels"
                    ) from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error}") from error

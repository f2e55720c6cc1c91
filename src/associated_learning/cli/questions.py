"""Inputs of ``al predict``: of the command line, lines of a file, or rows read by column."""

from __future__ import annotations

import csv
import io
import json
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from associated_learning.data import TablePreprocessor
from associated_learning.data.labels.label_sets import label_columns
from associated_learning.data.reading.header import check_header
from associated_learning.data.reading.named import NAMED
from associated_learning.data.tables.dialect import SEPARATED, Dialect, encoding_of
from associated_learning.data.tables.row_places import RowError
from associated_learning.data.tables.unseen import told_unseen, unseen_categories
from associated_learning.errors import InputError
from associated_learning.runs.folder.open_run import OpenRun
from associated_learning.state.files import check_depth

__all__ = ["Question", "lines", "questions"]


class Question(NamedTuple):
    """One input.

    Attributes:
        shown: As the answer repeats it.
        asked: What the run's preprocessor takes; None where the line is blank.
        where: What to call it in a message.
        features: Of a row of a table, what the preprocessor made of it.
        unseen: Its columns and categories that training did not see.
        row: All columns of the file that it stands in, if that has columns.
    """

    shown: str
    asked: Any
    where: str
    features: Tensor | None = None
    unseen: Sequence[tuple[str, str]] = ()
    row: Mapping[str, Any] | None = None


def questions(opened: OpenRun, inputs: Sequence[str], file: str | None) -> list[Question]:
    """Return the inputs of a command in their order, blank ones in their place.

    A file that ends in .csv, .tsv or .jsonl is read by the columns of the run, unless those are
    images; any other has one input a line.

    Raises:
        InputError: The file cannot be read, lacks a column, or holds something that is no input.
    """
    _check_no_file(opened, inputs)
    found = [_line(opened, text, f"{text!r}") for text in inputs]
    if file is not None:
        found += _of_file(opened, file)
    made = opened.preprocessor
    return _encoded(made, found) if isinstance(made, TablePreprocessor) else found


def _of_file(opened: OpenRun, file: str) -> list[Question]:
    ending = Path(file).suffix.lower()
    if opened.spec.kind == "image" or ending not in (*SEPARATED, ".jsonl"):
        listed = enumerate(lines(file), start=1)
        return [_line(opened, text, f"line {i} of {file}, {text!r}") for i, text in listed]
    if ending == ".jsonl":
        return [_row(opened, row, where) for where, row in _objects(file)]
    content, dialect = _content(file), Dialect.of(Path(file))
    rows = _rows(file, content, dialect)
    return [_row(opened, row, where, dialect.decimal) for where, row in rows]


def _encoded(preprocessor: TablePreprocessor, found: list[Question]) -> list[Question]:
    """Return rows with their features, which are made of all at once."""
    rows = [question for question in found if question.asked is not None]
    asked = [question.asked for question in rows]
    try:
        features = iter(preprocessor(asked) if asked else ())
    except RowError as error:
        raise error.at(rows[error.row].where) from error
    unseen = unseen_categories(preprocessor, asked)
    for line in told_unseen(unseen):
        warnings.warn(line, stacklevel=2)
    told = iter(unseen)
    return [
        one if one.asked is None else one._replace(features=next(features), unseen=next(told))
        for one in found
    ]


def _check_no_file(opened: OpenRun, inputs: Sequence[str]) -> None:
    """Raise InputError for the name of a file where a text or a row is expected."""
    for text in inputs if opened.spec.kind != "image" else ():
        if Path(text).suffix.lower() in (*SEPARATED, ".jsonl", ".txt") and Path(text).is_file():
            raise InputError(f"{text} came as an input, but it is a file: --file {text} reads it.")


def lines(file: str) -> list[str]:
    """Return the lines of a file, or of the pipe for "-", blank ones too.

    Raises:
        InputError: It cannot be read as text.
    """
    listed = _content(file).replace("\r\n", "\n").split("\n")
    return listed if listed[-1] else listed[:-1]


def _content(file: str) -> str:
    try:
        if file == "-":
            return sys.stdin.read()
        content = Path(file).read_bytes()
        return content.decode(encoding_of(content))
    except UnicodeDecodeError as error:
        raise InputError(
            f"--file {file} cannot be read as text ({error}): it is no UTF-8; save it so "
            '(spreadsheets call it "CSV UTF-8")'
        ) from error
    except OSError as error:
        raise InputError(f"--file {file} cannot be read as text: {error}") from error


def _line(opened: OpenRun, text: str, where: str) -> Question:
    fields = next(csv.reader([text]), []) if _table(opened) else text
    blank = not "".join(fields).strip()
    return Question(text, None if blank else fields, where)


def _table(opened: OpenRun) -> bool:
    return isinstance(opened.preprocessor, TablePreprocessor)


def _rows(file: str, content: str, dialect: Dialect) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the rows of a file of columns; a blank line is a row without any."""
    check_header(Path(file), dialect)
    separator = dialect.separator
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=separator, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        begin = reader.line_num + 1
        for row in reader:
            where, begin = f"line {begin} of {file}", reader.line_num + 1
            if row and len(row) != len(header):
                raise InputError(
                    f"{where} has {len(row)} fields, but the header names {len(header)}; quote "
                    f"texts that hold {separator!r}."
                )
            yield where, dict(zip(header, row, strict=True)) if row else {}
    except csv.Error as error:
        raise InputError(f"--file {file}, line {reader.line_num}: {error}") from error


def _objects(file: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the objects of a file of JSON lines; a blank line is one without columns."""
    for number, line in enumerate(lines(file), start=1):
        where = f"line {number} of {file}"
        try:
            check_depth(line.encode())
            row = json.loads(line) if line.strip() else {}
        except ValueError as error:
            raise InputError(f"{where} is no JSON: {error}; expected one object a line.") from error
        if not isinstance(row, dict):
            raise InputError(f"{where} is {line[:40]!r}; expected a JSON object with columns.")
        yield where, row


def _row(opened: OpenRun, row: Mapping[str, Any], where: str, decimal: str = ".") -> Question:
    if not row:
        return Question("", None, where)
    columns = _columns(opened, row)
    missing = [column for column in columns if column not in row]
    if missing:
        raise InputError(
            f"{where} has no column {missing[0]!r}: its columns are "
            f"{', '.join(map(repr, row))}. The run reads {', '.join(map(repr, columns))}."
        )
    values = ["" if row[column] is None else row[column] for column in columns]
    shown = _joined(values) if _table(opened) else " ".join(map(str, values))
    if all(isinstance(value, str) and not value.strip() for value in values):
        return Question(shown, None, where, row=row)
    if isinstance(opened.preprocessor, TablePreprocessor):
        return Question(shown, opened.preprocessor.with_points(values, decimal), where, row=row)
    for column, value in zip(columns, values, strict=True):
        if not isinstance(value, str):
            raise InputError(f"{where}, column {column!r}, is {value!r}; expected a text.")
    return Question(shown, shown, where, row=row)


def _joined(values: Sequence[Any]) -> str:
    """Return values as one line of CSV, which can be asked again."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue()


def _columns(opened: OpenRun, row: Mapping[str, Any]) -> Sequence[str]:
    """Return the columns that the run was trained on."""
    if isinstance(opened.preprocessor, TablePreprocessor):
        return opened.preprocessor.columns
    if opened.config.text_column is not None:
        return label_columns(opened.config.text_column, list(row))
    if opened.config.data in NAMED:
        return NAMED[opened.config.data].columns
    label = opened.config.label_column or "label"
    others = [column for column in row if column not in (label, opened.config.weight_column)]
    if len(others) != 1:
        raise InputError(
            f"the file has the columns {', '.join(map(repr, row))}, and the run was trained on a "
            f"file with one beside {label!r}; leave all others out."
        )
    return others

"""Files with columns of lists: the words of a text, and a label for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from associated_learning.data.labels.labels import class_names
from associated_learning.data.reading.columns import check_columns, values
from associated_learning.data.reading.file_formats import read_files
from associated_learning.data.reading.raw import RawSet, RawSplit
from associated_learning.data.samples import IGNORED
from associated_learning.data.tables.row_places import FileRows, row_of
from associated_learning.data.texts.tags import TaggedText
from associated_learning.errors import InputError

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["read_tagged"]

_LABELS = ("labels", "tags", "ner_tags", "pos_tags")


def read_tagged(
    name: str | Path,
    *,
    test_data: str | Path | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    cache_dir: str | Path | None = None,
) -> RawSet:
    """Return the texts of a JSONL or Parquet file with labels for their words.

    Args:
        name: The file.
        test_data: File with the texts for testing.
        text_column: The column of lists of words; ``tokens`` if not given.
        label_column: The column of lists of labels, names or numbers, of which -100 does not
            count; ``labels``, ``tags``, ``ner_tags`` or ``pos_tags`` if not given.
        cache_dir: See `load`.

    Raises:
        InputError: There is no such file or column, or a row is no text with a label for each
            word; names it.
    """
    if not Path(name).is_file():
        raise InputError(
            f"there is no file {name}: expected a JSONL or Parquet file with columns of lists, the "
            "words of a text and a label for each"
        )
    files = {"train": [Path(name)]} | ({"test": [Path(test_data)]} if test_data else {})
    splits = read_files(files, cache_dir)
    text = text_column or "tokens"
    label = label_column or _label_column(splits["train"], str(name))
    for split in splits.values():
        check_columns(split, [text, label], str(name))
    given = _given_names(splits["train"], label)
    places = {key: FileRows(path, f"the {key} split") for key, (path,) in files.items()}
    rows = {key: _rows(split, text, label, places[key]) for key, split in splits.items()}
    names = given or _names(rows["train"], places["train"])
    if len(names) < 2:
        raise InputError(f"all training labels are {names}: expected two or more classes")
    tagged = {
        key: _tagged(listed, names, places[key], numbered=given is not None)
        for key, listed in rows.items()
    }
    return RawSet("text", tuple(map(str, names)), tagged, (text,))


Row = tuple[list[str], list[Any]]


def _label_column(split: Dataset, where: str) -> str:
    found = [column for column in _LABELS if column in split.column_names]
    if len(found) != 1:
        raise InputError(
            f"{where} has the columns {', '.join(map(repr, split.column_names))}: choose the label "
            "column"
        )
    return found[0]


def _given_names(split: Dataset, column: str) -> tuple[str, ...] | None:
    """Return the names that the file itself gives to its numbers, as those of the hub do."""
    names = getattr(getattr(split.features[column], "feature", None), "names", None)
    return None if names is None else tuple(names)


def _rows(split: Dataset, text: str, label: str, where: FileRows) -> list[Row]:
    rows = list(zip(values(split, text), values(split, label), strict=True))
    if not rows:
        raise InputError(f"{where} is empty: expected one or more rows")
    for number, (words, labels) in enumerate(rows):
        for column, listed in ((text, words), (label, labels)):
            if not isinstance(listed, list):
                raise InputError(
                    f"{where.row(number)}, column {column!r}: {str(listed)[:40]!r} is no list; "
                    "expected a list with an entry for each word"
                )
        if len(words) != len(labels) or not words:
            raise InputError(
                f"{where.row(number)} has {len(words)} words and {len(labels)} labels; expected "
                "one label for each of one or more words"
            )
        wrong = next((word for word in words if not isinstance(word, str)), None)
        if wrong is not None or None in words:
            raise InputError(
                f"{where.row(number)}, column {text!r}: {wrong!r} is no word; expected texts alone"
            )
    return rows


def _names(rows: Sequence[Row], where: FileRows) -> tuple[Any, ...]:
    """Return the distinct labels, sorted."""
    flat = []
    for number, (_, labels) in enumerate(rows):
        for label in labels:
            if isinstance(label, list) or label is None or label != label:
                raise InputError(
                    f"{where.row(number)} has the label {label!r}; expected a name or a number for "
                    f"each word, {IGNORED} for none"
                )
        flat += labels
    return class_names([label for label in flat if label != IGNORED])


def _tagged(
    rows: Sequence[Row], names: Sequence[Any], where: FileRows, *, numbered: bool
) -> RawSplit:
    known = dict(zip(range(len(names)) if numbered else names, range(len(names)), strict=True))
    known[IGNORED] = IGNORED
    texts = [
        TaggedText(words, _numbers(labels, known, names, number, where))
        for number, (words, labels) in enumerate(rows)
    ]
    if all(tag == IGNORED for text in texts for tag in text.tags):
        raise InputError(f"no label of {where} counts: all are {IGNORED}")
    return RawSplit(texts, torch.zeros(len(texts), dtype=torch.int64))


def _numbers(
    labels: Sequence[Any],
    known: Mapping[Any, int],
    names: Sequence[Any],
    row: int,
    where: FileRows,
) -> list[int]:
    for i, label in enumerate(labels):
        negative = isinstance(label, int) and label < 0 and label != IGNORED
        if isinstance(label, list) or label not in known or negative:
            some = ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
            raise InputError(
                f"word {i} of {row_of(row, where)} has the label {label!r}; expected one of the "
                f"{len(names)} classes {some}, or {IGNORED} for none"
            )
    return [known[label] for label in labels]

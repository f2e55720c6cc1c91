"""Texts without labels: a text file, a column of a file, or the texts of a known data set."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from associated_learning.data.reading.by_name_or_path import read_named
from associated_learning.data.reading.columns import check_columns, is_numeric, texts
from associated_learning.data.reading.file_formats import FILE_FORMATS, read_files
from associated_learning.data.reading.named import NAMED
from associated_learning.data.reading.raw import RawSet, RawSplit
from associated_learning.data.tables.row_places import FileRows
from associated_learning.errors import InputError

__all__ = ["TEXT_FILES", "read_texts"]

TEXT_FILES = (".txt", ".text", ".md")
_EMPTY_LINE = re.compile(r"\n[^\S\n]*\n")


def read_texts(
    name: str | Path,
    *,
    data_root: str | Path | None = None,
    test_data: str | Path | None = None,
    text_column: str | None = None,
    cache_dir: str | Path | None = None,
) -> RawSet:
    """Return texts without labels.

    Args:
        name: A data set of texts that `load` knows; a text file, whose texts stand between empty
            lines, or one a line where there are none; or another file with a column of texts.
        data_root: See `load`.
        test_data: File with the texts for testing.
        text_column: The column of the texts; needed where there are several.
        cache_dir: See `load`.

    Raises:
        InputError: There are no such texts, or they cannot be read.
    """
    path = Path(name)
    if name in NAMED or not path.exists():
        raw = read_named(str(name), data_root=data_root, cache_dir=cache_dir)
        if raw.kind != "text":
            raise InputError(f"the data set {name} is of kind {raw.kind}; expected texts")
        found = {key: split.inputs for key, split in raw.splits.items()}
    else:
        files = {"train": path} | ({} if test_data is None else {"test": Path(test_data)})
        found = {key: _in_file(file, text_column, cache_dir) for key, file in files.items()}
    splits = {key: RawSplit(listed, _unlabelled(len(listed))) for key, listed in found.items()}
    if "test" not in splits and len(splits["train"].inputs) < 3:
        raise InputError(
            f"{name} holds {len(splits['train'].inputs)} texts; expected three or more, of which "
            "some are kept for validation and testing. Part texts by empty lines."
        )
    return RawSet("text", (), splits)


def _in_file(path: Path, column: str | None, cache_dir: str | Path | None) -> list[str]:
    if path.suffix.lower() in TEXT_FILES:
        if column is not None:
            raise InputError(
                f"a text column {column!r} came for {path}, a plain text; leave it out"
            )
        return _parted(path)
    if path.is_dir() or path.suffix.lower() not in FILE_FORMATS:
        known = ", ".join([*TEXT_FILES, *FILE_FORMATS])
        raise InputError(f"{path} came for texts; expected a file that ends in one of {known}")
    split = read_files({"train": [path]}, cache_dir)["train"]
    if column is None:
        of_text = [one for one in split.column_names if not is_numeric(split, one)]
        if len(of_text) != 1:
            raise InputError(
                f"{path} has the columns {', '.join(map(repr, split.column_names))}: choose the "
                "text column"
            )
        column = of_text[0]
    check_columns(split, [column], str(path))
    return texts(split, [column], FileRows(path, str(path)))


def _parted(path: Path) -> list[str]:
    """Return the texts of a text file."""
    try:
        whole = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a text in UTF-8: {error}") from error
    parts = _EMPTY_LINE.split(whole.strip())
    parts = parts if len(parts) > 1 else parts[0].splitlines()
    return [text for part in parts if (text := part.strip())]


def _unlabelled(count: int) -> torch.Tensor:
    return torch.zeros(count, dtype=torch.int64)  # one class, of which splits are cut

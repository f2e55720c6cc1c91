"""The file that ``al predict --output`` writes: JSON lines or columns; it survives being killed."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from associated_learning.cli.answers import Answer
from associated_learning.data.tables.dialect import SEPARATED
from associated_learning.errors import InputError
from associated_learning.state.digests import command_key
from associated_learning.state.files import replaced_file

__all__ = ["AnswerFile", "check_names"]

_COLUMNS = ("prediction", "probability", "depth", "note")  # beside the columns of the file


class AnswerFile(NamedTuple):
    """Answers on their way into a file.

    Until all are there they stand beside it, under a name that tells the command: the same
    command goes on there, and another one never does. A .csv or .tsv file is made of these lines at
    the end.

    Attributes:
        path: Where the answers will be.
        unfinished: Where they are until then.
    """

    path: Path
    unfinished: Path

    @classmethod
    def of(cls, path: Path, command: Any) -> AnswerFile:
        """Return the file of a command, given as JSON-able values that decide its answers.

        Raises:
            InputError: There is such a file already, or no folder for it.
        """
        if path.suffix.lower() == ".parquet":
            raise InputError(
                f"--output {path} came; it gets JSON lines or columns: name it {path.stem}.jsonl "
                f"or {path.stem}.csv."
            )
        if path.exists():
            raise InputError(f"--output {path} exists; choose another name, or delete it.")
        if not path.parent.is_dir():
            raise InputError(f"--output {path} came, but there is no folder {path.parent}.")
        key = command_key(command)
        return cls(path, path.with_name(f"{path.name}.{key}.unfinished"))

    def finished_chunks(self, size: int) -> int:
        """Return how many chunks of ``size`` answers are there, and drop what follows them."""
        if not self.unfinished.exists():
            return 0
        with self.unfinished.open("r+b") as file:
            ends = list(accumulate(len(line) for line in file if line.endswith(b"\n")))
            chunks = len(ends) // size
            file.truncate(ends[chunks * size - 1] if chunks else 0)
        return chunks

    def write(self, chunks: Iterable[list[Answer]], rows: Sequence[Mapping[str, Any]]) -> None:
        """Add the chunks that are missing, and give the file its name.

        Args:
            chunks: Answers.
            rows: Of all questions the columns that a .csv or .tsv file gets before the answer's.
        """
        with self.unfinished.open("a", encoding="utf-8", newline="\n") as file:
            for chunk in chunks:
                file.write("".join(json.dumps(answer) + "\n" for answer in chunk))
                file.flush()
            os.fsync(file.fileno())
        if self.path.suffix.lower() not in SEPARATED:
            self.unfinished.replace(self.path)
            return
        self._write_columns(rows)
        self.unfinished.unlink()

    def _write_columns(self, rows: Sequence[Mapping[str, Any]]) -> None:
        own = list(dict.fromkeys(name for row in rows for name in row))
        separator = "\t" if self.path.suffix.lower() == ".tsv" else ","
        with (
            self.unfinished.open(encoding="utf-8") as answers,
            replaced_file(self.path) as made,
            made.open("w", encoding="utf-8", newline="") as file,
        ):
            lines = csv.writer(file, delimiter=separator, lineterminator="\n")
            lines.writerow([*own, *_COLUMNS])
            for row, line in zip(rows, answers, strict=True):
                mine = [row.get(name, "") for name in own]
                lines.writerow([*mine, *_columns(json.loads(line))])


def check_names(columns: Iterable[str]) -> None:
    """Check that a file's own columns have other names than those of the answers.

    Raises:
        InputError: One has not.
    """
    if twice := sorted({*columns} & {*_COLUMNS}):
        raise InputError(
            f"the file has a column {twice[0]!r} itself, as the answers have: rename it, or name "
            "an --output that ends in .jsonl."
        )


def _columns(answer: Mapping[str, Any]) -> list[Any]:
    """Return label, its probability, depth and note; several labels with | between them."""
    label, shares = answer["label"], answer["probabilities"]
    several = isinstance(label, list)
    chosen = (label if several else [label]) if shares else []
    return [
        "|".join(label) if several else label,
        "|".join(str(shares[name]) for name in chosen),
        answer["depth"],
        answer["note"],
    ]

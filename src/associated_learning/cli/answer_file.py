"""The file that ``al predict --output`` writes: JSON lines that survive being killed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from associated_learning.errors import InputError
from associated_learning.state.digests import command_key

__all__ = ["AnswerFile"]


class AnswerFile(NamedTuple):
    """Answers on their way into a file.

    Until all are there they stand beside it, under a name that tells the command: the same
    command goes on there, and another one never does.

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
        if path.suffix.lower() in (".csv", ".tsv", ".parquet"):
            raise InputError(
                f"--output {path} came; it gets JSON lines: name it {path.stem}.jsonl."
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

    def write(self, chunks: Iterable[list[dict[str, Any]]]) -> None:
        """Add the chunks that are missing, and give the file its name."""
        with self.unfinished.open("a", encoding="utf-8", newline="\n") as file:
            for chunk in chunks:
                file.write("".join(json.dumps(answer) + "\n" for answer in chunk))
                file.flush()
            os.fsync(file.fileno())
        self.unfinished.replace(self.path)

"""Which folder holds the last checkpoint and which the best, and the digests of their files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from associated_learning.errors import CheckpointError
from associated_learning.state.digests import check_files, file_digests
from associated_learning.state.files import (
    is_ours,
    read_json,
    remove_ours,
    remove_unfinished,
    write_json,
)

__all__ = ["CheckpointIndex"]

_KINDS = ("last", "best")
_NAME = re.compile(r"(last|best)-\d{9,}(-\d+)?")


class _Entry(NamedTuple):
    """A checkpoint's folder, and the digest of each of its files; None where none were kept."""

    folder: str
    files: dict[str, str] | None


class CheckpointIndex:
    """The file ``index.json`` of a folder of checkpoints."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def has(self, which: str) -> bool:
        """Return whether there is a checkpoint called "last" or "best"."""
        return which in self._entries()

    def path(self, which: str) -> Path:
        """Return the folder of a checkpoint.

        Raises:
            CheckpointError: There is none of that name, or the index is foreign.
        """
        return self._folder / self._entry(which).folder

    def check(self, which: str, name: str | None = None) -> Path:
        """Return the folder of a checkpoint whose files are those that were saved.

        Checkpoints that are older than digests have none to check.

        Args:
            which: "last" or "best".
            name: The only file that is going to be read; all by default.

        Raises:
            CheckpointError: One of them is missing or has changed; or see `path`.
        """
        entry = self._entry(which)
        if entry.files is not None:
            wanted = entry.files if name is None else {name: entry.files.get(name, "")}
            check_files(self._folder / entry.folder, wanted)
        return self._folder / entry.folder

    def free_name(self, which: str, step: int) -> Path:
        """Return a path for a new checkpoint at which nothing lies yet."""
        path, again = self._folder / f"{which}-{step:09d}", 1
        while path.exists():  # the same step saved twice, as at the end of an epoch
            again += 1
            path = self._folder / f"{which}-{step:09d}-{again}"
        return path

    def point(self, which: str, path: Path, known: Mapping[str, str] | None = None) -> None:
        """Let a name mean another checkpoint from now on, and remove the one before."""
        before = self._entries()
        entries = {**before, which: _Entry(path.name, file_digests(path, known or {}))}
        write_json(self._folder / "index.json", {k: e._asdict() for k, e in entries.items()})
        self._remove_stale(before, {entry.folder for entry in entries.values()})

    def _remove_stale(self, before: dict[str, _Entry], kept: set[str]) -> None:
        """Remove checkpoints that the index named, or whose marker says that they are ours."""
        named = {entry.folder for entry in before.values()}
        for path in self._folder.iterdir():
            if path.name in kept or not _NAME.fullmatch(path.name):
                continue
            if path.name in named or is_ours(path):
                remove_ours(path)
        remove_unfinished(self._folder)

    def _entry(self, which: str) -> _Entry:
        try:
            return self._entries()[which]
        except KeyError:
            raise CheckpointError(
                f"{self._folder} holds no {which} checkpoint; expected one that a training run "
                "saved there. Check the folder's name, or train first."
            ) from None

    def _entries(self) -> dict[str, _Entry]:
        path = self._folder / "index.json"
        index = read_json(path) if path.exists() else {}
        try:
            return {which: _entry(which, value) for which, value in index.items()}
        except (AttributeError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{path} is not from this library, or was changed ({error}); restore it, or name "
                "another folder."
            ) from error


def _entry(which: str, value: Any) -> _Entry:
    """Read an entry. Raises ValueError or TypeError if it is none, or leads out of its folder."""
    entry = _Entry(value, None) if isinstance(value, str) else _Entry(**value)
    if which not in _KINDS or not _NAME.fullmatch(entry.folder) or entry.folder[:4] != which:
        raise ValueError(f"{which!r} names {entry.folder!r}")
    for name, digest in (entry.files or {}).items():
        if Path(name).name != name or not isinstance(digest, str):
            raise ValueError(f"{name!r} is no name of a file in {entry.folder}")
    return entry

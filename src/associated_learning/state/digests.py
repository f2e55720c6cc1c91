"""Digests of files: what shows that not a byte of them has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from associated_learning.errors import CheckpointError
from associated_learning.state.files import open_regular

__all__ = [
    "DigestedFile",
    "check_files",
    "command_key",
    "file_digest",
    "file_digests",
    "new_digest",
]

_SIZE = 16  # bytes: an accident gives another file the same digest with odds of 1 to 10^38
_CHUNK = 2**20
_REMEDY = "Restore it, use another checkpoint of the run, or train again."


def new_digest() -> hashlib.blake2b:
    """Return an empty digest of the kind that all files have: BLAKE2b of 128 bits."""
    return hashlib.blake2b(digest_size=_SIZE)


def command_key(command: Any) -> str:
    """Return twelve digits that tell a command, given as JSON-able values that decide its answers.

    Example:
        >>> command_key(["weights", 1]) == command_key(["weights", 2])
        False
    """
    return hashlib.sha256(json.dumps(command).encode()).hexdigest()[:12]


def file_digest(path: Path) -> str:
    """Return the BLAKE2b digest of a file's content, in hexadecimal digits.

    Raises:
        OSError: It cannot be read.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "a")
        >>> _ = path.write_bytes(b"abc")
        >>> file_digest(path)
        'cf4ab791c62b8d2b2109c90275287816'
    """
    digest = new_digest()
    with open_regular(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def file_digests(folder: Path, known: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the digest of every file in a folder by its name; known ones are not made anew."""
    known = known or {}
    return {
        path.name: known[path.name] if path.name in known else file_digest(path)
        for path in sorted(folder.iterdir())
        if path.is_file()
    }


class DigestedFile:
    """A file that is digested while it is written, so that nothing is read again."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._file = path.open("wb")
        self._digest = new_digest()

    def write(self, content: bytes | memoryview) -> None:
        """Append some bytes."""
        self._file.write(content)
        self._digest.update(content)

    def digest(self) -> str:
        """Return the `file_digest` of what was written so far."""
        return self._digest.hexdigest()

    def close(self) -> None:
        """Close it."""
        self._file.close()


def check_files(folder: Path, digests: Mapping[str, str], *, remedy: str = _REMEDY) -> None:
    """Check that a folder's files are those that `file_digests` saw.

    Raises:
        CheckpointError: One is missing or has changed; names it.
    """
    for name, expected in digests.items():
        try:
            found = file_digest(folder / name)
        except OSError as error:
            raise CheckpointError(
                f"{folder / name} cannot be read ({error}); it is missing, though the index names "
                f"it. {remedy}"
            ) from error
        if found != expected:
            raise CheckpointError(
                f"{folder / name} has changed since it was saved: its digest is {found}, expected "
                f"{expected}. The disk, a copy or somebody altered it. {remedy}"
            )

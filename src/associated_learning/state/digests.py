"""Digests of files: what shows that not a byte of them has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from associated_learning.errors import CheckpointError
from associated_learning.state.files import open_regular

__all__ = ["check_files", "file_digest", "file_digests", "new_digest"]

_SIZE = 16  # bytes: an accident gives another file the same digest with odds of 1 to 10^38
_CHUNK = 2**20


def new_digest() -> hashlib.blake2b:
    """Return an empty digest of the kind that all files have: BLAKE2b of 128 bits."""
    return hashlib.blake2b(digest_size=_SIZE)


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
    """Return the digest of every file in a folder by its name: an index for `check_files`.

    Args:
        folder: Where they lie.
        known: Digests that need not be computed anew.
    """
    known = known or {}
    return {
        path.name: known[path.name] if path.name in known else file_digest(path)
        for path in sorted(folder.iterdir())
        if path.is_file()
    }


def check_files(folder: Path, digests: Mapping[str, str]) -> None:
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
                "it. Restore it, use another checkpoint of the run, or train again."
            ) from error
        if found != expected:
            raise CheckpointError(
                f"{folder / name} has changed since it was saved: its digest is {found}, expected "
                f"{expected}. The disk, a copy or somebody altered it: restore it, use another "
                "checkpoint of the run, or train again."
            )

"""Digests of data by their content, whatever their names, places and time stamps."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path

from associated_learning.errors import InputError
from associated_learning.state.digests import file_digest, new_digest

__all__ = ["content_digest"]


def content_digest(paths: Iterable[Path]) -> str:
    """Return a digest of files and folders: of what is in them, not of where they lie.

    Raises:
        InputError: One is missing or cannot be read.

    Example:
        >>> import pathlib, tempfile
        >>> one, two = (pathlib.Path(tempfile.mkdtemp(), name) for name in ("a.csv", "b.csv"))
        >>> for path in (one, two):
        ...     _ = path.write_text("x,label")
        >>> content_digest([one]) == content_digest([two])
        True
    """
    whole = new_digest()
    for path in paths:
        below = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else []
        for file in below or [path]:
            name = file.relative_to(path).as_posix()  # "." for a file that was named itself
            whole.update(f"{name!r} {_digest(file)}\n".encode())
    return whole.hexdigest()


def _digest(path: Path) -> str:
    try:
        found = path.stat()
        version = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        return _digest_of(path.absolute(), version)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error}") from error


@functools.lru_cache(maxsize=4096)
def _digest_of(path: Path, version: tuple[int, ...]) -> str:
    """Return a file's digest; the time of its last change, which nobody can set, is its version."""
    return file_digest(path)

"""One process at a time in a run's folder, whatever was killed."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["held_lock"]


@contextmanager
def held_lock(path: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold the lock of a file inside the block; yield False if another process holds it.

    The system frees it when its process ends, however it ends.

    Args:
        path: The file; made if it is not there.
        wait: Wait for the other process instead.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "lock")
        >>> with held_lock(path) as mine, held_lock(path) as again:
        ...     print(mine, again)
        True False
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:
            yield False
            return
        yield True

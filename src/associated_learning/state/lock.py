"""One process at a time, whatever was killed: locks of files, by the library `filelock`."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from associated_learning.errors import CheckpointError
from associated_learning.state.files import make_folder

__all__ = ["FOREVER", "held_lock", "lock_holder"]

FOREVER = -1.0  # the patience of those who wait as long as it takes


@contextmanager
def held_lock(path: Path, *, patience: float = 0.0, signed: bool = False) -> Iterator[bool]:
    """Hold the lock of a file inside the block; yield False if another one holds it.

    The system frees it when its process ends, however it ends, so no lock is ever stale.

    Args:
        path: The file; made if it is not there, and left there.
        patience: Seconds to wait for the other one; `FOREVER` for as long as it takes.
        signed: Whether to leave a note beside it for `lock_holder`.

    Raises:
        CheckpointError: The folder is full or not writable.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "lock")
        >>> with held_lock(path) as mine, held_lock(path) as again:
        ...     print(mine, again)
        True False
    """
    try:
        make_folder(path.parent)
        lock = FileLock(path)
        lock.acquire(timeout=patience)
    except Timeout:
        yield False
        return
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be locked ({error}); make the folder writable or free disk space."
        ) from error
    try:
        if signed:
            _sign(path)
        yield True
    finally:
        lock.release()


def lock_holder(path: Path) -> str:
    """Return who holds, or held last, the lock of a file, for a message."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        told = json.loads(_signature(path).read_text(encoding="utf-8"))
        return f"process {int(told['process'])} on {str(told['machine'])[:100]!r}"
    return "another process"


def _sign(path: Path) -> None:
    """Tell who holds the lock: beside it, because some versions of filelock empty their file."""
    told = {"process": os.getpid(), "machine": platform.node()}
    with suppress(OSError):  # a courtesy only
        _signature(path).write_text(json.dumps(told), encoding="utf-8")


def _signature(path: Path) -> Path:
    return path.with_name(f"{path.name}.holder")

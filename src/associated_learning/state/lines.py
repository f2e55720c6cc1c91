"""Files of one line an entry that are appended to: whole lines, on the disk before it is said."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import NamedTuple

from associated_learning.errors import CheckpointError
from associated_learning.state.files import make_folder, open_regular, saving, to_disk

__all__ = ["Lines", "append_line", "read_lines"]

_LARGEST = 2**30  # bytes of a whole file


class Lines(NamedTuple):
    """What a file of lines holds.

    Attributes:
        whole: Its lines, without their ends.
        torn: What stands after the last end of a line; empty as a rule. A write that a full disk,
            a kill or a power cut stopped leaves it behind, and so do some editors.
    """

    whole: list[str]
    torn: str


def read_lines(path: Path) -> Lines:
    r"""Read a file of lines.

    Raises:
        CheckpointError: It is missing, no text, no regular file or too large.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "ledger")
        >>> _ = path.write_text("one\ntwo\nthr")
        >>> read_lines(path)
        Lines(whole=['one', 'two'], torn='thr')
    """
    try:
        with open_regular(path) as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise ValueError(f"it has more than {_LARGEST} bytes")
        *whole, torn = content.decode("utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error}); expected lines of text that this library wrote. "
            "Name another file."
        ) from error
    return Lines(whole, torn)


def append_line(path: Path, line: str, *, torn: str = "") -> None:
    """Append a line and wait until it is on the disk; a write that fails leaves no half of it.

    Only one process at a time may do so: see `held_lock`.

    Args:
        path: The file; made if it is not there.
        line: Without its end.
        torn: A torn end of the file, which is moved to a file beside it; this is said.

    Raises:
        CheckpointError: The disk is full or not writable; the file is as it was.
    """
    with saving(path):
        make_folder(path.parent)
        if torn:
            _set_aside(path, torn)
        is_new = not path.exists()
        # no buffer: what cannot be written shows here, and not when it is closed
        with path.open("ab", buffering=0) as file:
            before = file.seek(0, os.SEEK_END)
            try:
                _write(file.fileno(), f"{_missing_end(path)}{line}\n".encode())
                os.fsync(file.fileno())
            except OSError:
                file.truncate(before)
                raise
        if is_new:
            to_disk(path.parent)


def _missing_end(path: Path) -> str:
    """Return the end of the last line, which some editors leave out."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 1, 0))
        return "" if file.read(1) in (b"", b"\n") else "\n"


def _write(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def _set_aside(path: Path, torn: str) -> None:
    beside = path.with_name(f"{path.name}.torn")
    with beside.open("ab") as file:
        file.write(f"{torn}\n".encode())
    os.truncate(path, path.stat().st_size - len(torn.encode()))
    warnings.warn(
        f"the last line of {path} was cut off ({len(torn)} characters, as a full disk, a kill or "
        f"a power cut leaves it); it is in {beside} now, and {path.name} is whole again",
        stacklevel=3,
    )

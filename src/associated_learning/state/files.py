"""Files that are either whole or not there: written under a temporary name, then renamed.

What is said to be saved is on the disk: files and the folders that name them are synced, so that a
power cut takes nothing back.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from associated_learning.errors import CheckpointError
from associated_learning.state.sealed import sealed, unsealed

__all__ = [
    "TEMPORARY",
    "check_depth",
    "is_ours",
    "linked",
    "make_folder",
    "open_regular",
    "parse_json",
    "read_json",
    "remove_ours",
    "remove_unfinished",
    "replaced_file",
    "replaced_folder",
    "saving",
    "to_disk",
    "write_json",
]

TEMPORARY = ".new-"  # how the names of unfinished folders begin
_MARKER = "owner.json"  # lies in every folder that this library may remove again
_OWNER = json.dumps({"owner": "associated_learning"})
_LARGEST_JSON = 2**28  # bytes: a vocabulary of millions of words fits
_DEEPEST_JSON = 100  # nested lists and objects
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKETS = re.compile(rb"[\[\]{}]")


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path and rename it to ``path`` if the block succeeds.

    Raises:
        CheckpointError: The disk is full or not writable; ``path`` is as it was.
    """
    with saving(path), _unfinished(path.parent) as new:
        temporary = new / path.name
        yield temporary
        _settle(temporary, like=new / _MARKER)
        temporary.replace(path)
        to_disk(path.parent)


@contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder and rename it to ``path``, which must not exist, on success.

    `is_ours` knows it again.

    Raises:
        CheckpointError: The disk is full or not writable; nothing is left behind.
    """
    with saving(path), _unfinished(path.parent) as new:
        yield new
        for file in new.iterdir():
            _settle(file, like=new / _MARKER)  # before the rename, which may reach the disk first
        to_disk(new)
        new.rename(path)
        to_disk(path.parent)


def is_ours(folder: Path) -> bool:
    """Return whether `replaced_folder` made a folder: the marker inside it says so.

    Example:
        >>> import pathlib, tempfile
        >>> parent = pathlib.Path(tempfile.mkdtemp())
        >>> with replaced_folder(parent / "mine"):
        ...     pass
        >>> (parent / "yours").mkdir()
        >>> is_ours(parent / "mine"), is_ours(parent / "yours")
        (True, False)
    """
    if folder.is_symlink() or not folder.is_dir():
        return False
    try:
        with open_regular(folder / _MARKER) as file:
            found: bytes = file.read(len(_OWNER) + 1)
            return found == _OWNER.encode()
    except OSError:
        return False


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed process left half written in a folder; nothing else.

    Only one process at a time may write there.
    """
    for left in folder.glob(f"{TEMPORARY}*"):
        if is_ours(left) or _is_hardly_begun(left):
            remove_ours(left)


def remove_ours(folder: Path) -> None:
    """Remove a folder of ours, its marker last: what a kill leaves of it is known to be ours."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != _MARKER:
                path.unlink()
        (folder / _MARKER).unlink(missing_ok=True)
        folder.rmdir()


def _is_hardly_begun(folder: Path) -> bool:
    """Return whether a folder is what a kill leaves before its marker is whole."""
    try:
        if folder.is_symlink() or any(path.name != _MARKER for path in folder.iterdir()):
            return False
        with open_regular(folder / _MARKER) as file:
            found: bytes = file.read(len(_OWNER))
            return _OWNER.encode().startswith(found)
    except FileNotFoundError:
        return True
    except OSError:
        return False


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, atomically; an object gets a digest of itself as its last entry.

    Each entry of an object stands in a line of its own.
    """
    # json.dump, or an indent, would let Python make the text, which takes ten times as long
    if isinstance(value, dict):
        lines = (f" {json.dumps(k)}: {json.dumps(entry)}" for k, entry in sealed(value).items())
        text = "{\n" + ",\n".join(lines) + "\n}"
    else:
        text = json.dumps(value)
    with replaced_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file; an object comes without the digest that `write_json` gave it.

    Raises:
        CheckpointError: It is missing, truncated, changed, no JSON, too large or nested too deeply.
    """
    value = _parsed_json(path)
    try:
        return unsealed(value)
    except ValueError as error:
        raise CheckpointError(f"{path} has changed since it was saved: {error}.") from error


def _parsed_json(path: Path) -> Any:
    try:
        with open_regular(path) as file:
            content = file.read(_LARGEST_JSON + 1)
        if len(content) > _LARGEST_JSON:
            raise ValueError(f"it has more than {_LARGEST_JSON} bytes")
        return parse_json(content)
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} cannot be read as JSON ({error}); it is missing, truncated or not from "
            "this library. Name another run, or train again."
        ) from error


def linked(source: Path, path: Path) -> None:
    """Make ``path`` another name of a file that is on the disk and never changed.

    A copy where the two are on other disks.
    """
    try:
        os.link(source, path)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, path)


def open_regular(path: Path) -> Any:
    """Open a file for reading bytes; a pipe or device, which could hang, is no file.

    Raises:
        OSError: It is missing, cannot be read, or is none.
    """
    # without blocking, because opening a pipe waits until somebody writes into it
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is no regular file")
    return os.fdopen(descriptor, "rb")


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, if they are not there, and wait until they are saved."""
    new = list(itertools.takewhile(lambda path: not path.exists(), (folder, *folder.parents)))
    folder.mkdir(parents=True, exist_ok=True)
    for path in reversed(new):
        to_disk(path.parent)


def to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folders
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def saving(path: Path) -> Iterator[None]:
    """Turn what goes wrong in the block into a `CheckpointError` that names a path."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} could not be saved ({error}); what was saved before is unharmed. Free disk "
            "space or name another folder, then resume."
        ) from error


@contextmanager
def _unfinished(parent: Path) -> Iterator[Path]:
    """Yield a new folder with our marker, removed after the block unless it was renamed."""
    make_folder(parent)
    new = parent / f"{TEMPORARY}{secrets.token_hex(8)}"
    new.mkdir()
    try:
        (new / _MARKER).write_text(_OWNER, encoding="utf-8")
        yield new
    finally:
        remove_ours(new)


def _settle(file: Path, *, like: Path) -> None:
    """Sync a file, and let the umask decide who may read it, whatever the library that wrote it.

    One that has another name already was synced under it: see `linked`.
    """
    if file.is_file():
        if file.stat().st_nlink > 1:
            return
        file.chmod(stat.S_IMODE(like.stat().st_mode))
    to_disk(file)


def parse_json(content: bytes) -> Any:
    """Return the value of JSON that may be a stranger's.

    Raises:
        ValueError: It is none, or nested deeper than any of ours.

    Example:
        >>> parse_json(b'{"a": [1, 2]}')
        {'a': [1, 2]}
    """
    check_depth(content)
    return json.loads(content.decode("utf-8"))


def check_depth(content: bytes) -> None:
    """Raise ValueError for JSON that is nested deeper than any of ours: parsers recurse."""
    if content.count(b"[") + content.count(b"{") <= _DEEPEST_JSON:
        return
    depth = 0
    for bracket in _BRACKETS.findall(_TEXT.sub(b"", content)):
        depth += 1 if bracket in b"[{" else -1
        if depth > _DEEPEST_JSON:
            raise ValueError(f"it is nested more than {_DEEPEST_JSON} deep")

"""Files that are either whole or not there: written under a temporary name, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from associated_learning.errors import CheckpointError

__all__ = [
    "TEMPORARY",
    "digest_of",
    "linked",
    "read_json",
    "replaced_file",
    "replaced_folder",
    "write_json",
]

TEMPORARY = ".new-"  # how the names of unfinished files and folders begin


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` and rename it to ``path`` if the block succeeds.

    Raises:
        CheckpointError: The disk is full or not writable; ``path`` is as it was.
    """
    with (
        _saving(path),
        tempfile.TemporaryDirectory(dir=_made(path.parent), prefix=TEMPORARY) as new,
    ):
        temporary = Path(new) / path.name
        yield temporary
        temporary.replace(path)


@contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder and rename it to ``path``, which must not exist, on success.

    Raises:
        CheckpointError: The disk is full or not writable; nothing is left behind.
    """
    with _saving(path):
        temporary = Path(tempfile.mkdtemp(dir=_made(path.parent), prefix=TEMPORARY))
        temporary.chmod(0o755)  # mkdtemp makes it private, a checkpoint need not be
        try:
            yield temporary
            for file in (*temporary.iterdir(), temporary):
                _to_disk(file)  # before the rename, which may reach the disk first
            temporary.rename(path)
            _to_disk(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, atomically."""
    with replaced_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises CheckpointError if it is missing, truncated or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} cannot be read as JSON ({error}); it is missing, truncated or not from "
            "this library. Name another run, or train again."
        ) from error


def linked(source: Path, path: Path) -> None:
    """Make ``path`` another name of a file that is never changed; a copy on another disk."""
    try:
        os.link(source, path)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, path)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _saving(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} could not be saved ({error}); what was saved before is unharmed. Free disk "
            "space or name another folder, then resume."
        ) from error

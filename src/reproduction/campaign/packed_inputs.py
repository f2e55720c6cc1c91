"""Data and word vectors that many runs share: made once, packed, and read in no time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from associated_learning.data import DataSet, KnownVectors
from associated_learning.errors import CheckpointError
from associated_learning.runs.inputs import find_known_vectors, load_data
from associated_learning.runs.settings.config import ResolvedConfig
from associated_learning.state.digests import check_files, file_digest
from associated_learning.state.files import read_json, replaced_file, write_json
from associated_learning.state.lock import FOREVER, held_lock
from reproduction.campaign.packed import read_packed, write_packed

__all__ = ["PackedInputs", "pack", "packed_inputs"]

# what decides about the data of a run; label noise is drawn when they are read
_DATA = (
    "data", "test_data", "text_column", "label_column", "validation_fraction", "limit_train",
    "data_seed", "vocabulary_size", "max_length", "remove_stop_words", "image_size",
)  # fmt: skip


class PackedInputs(NamedTuple):
    """What a run reads.

    Attributes:
        data: Its data.
        known: What the file of word vectors knows; None where the settings name none.
    """

    data: DataSet
    known: KnownVectors | None


def packed_inputs(config: ResolvedConfig, folder: Path) -> PackedInputs:
    """Return the data and vectors of a run from a folder, packed there first if need be.

    Raises:
        InputError: They cannot be loaded.
        CheckpointError: The folder cannot be written, or holds something else.
    """
    pack(config, folder)
    data = read_packed(_checked(_data_file(config, folder)))
    noisy = data.with_label_noise(config.label_noise, seed=config.data_seed)
    known = (
        None if config.vectors is None else _read_vectors(_checked(_vector_file(config, folder)))
    )
    return PackedInputs(noisy, known)


def pack(config: ResolvedConfig, folder: Path) -> None:
    """Pack the data and vectors of a run into a folder, unless they are there.

    Of processes that want the same, one makes them and the others wait.

    Raises:
        InputError: They cannot be loaded.
        CheckpointError: The folder cannot be written.
    """
    clean = replace(config, label_noise=0.0)
    path = _data_file(config, folder)
    _once(path, lambda: write_packed(path, load_data(clean)))
    if config.vectors is not None:
        into = _vector_file(config, folder)
        _once(into, lambda: _write_vectors(into, find_known_vectors(config, read_packed(path))))


def _once(path: Path, make: Callable[[], None]) -> None:
    if path.exists():
        return
    with held_lock(path.with_suffix(".lock"), patience=FOREVER):
        if not path.exists():
            make()
            write_json(_digests(path), {path.name: file_digest(path)})


def _checked(path: Path) -> Path:
    """Return a packed file that holds what was packed. Raises CheckpointError if it changed."""
    if _digests(path).exists():  # older ones have none
        check_files(path.parent, read_json(_digests(path)))
    return path


def _digests(path: Path) -> Path:
    return path.with_suffix(".json")


def _data_file(config: ResolvedConfig, folder: Path) -> Path:
    root = [] if config.data_root is None else sorted(Path(config.data_root, config.data).glob("*"))
    key = [(name, getattr(config, name)) for name in _DATA]
    return folder / f"{Path(config.data).stem}-{_digest(key, *map(_version, root))}.safetensors"


def _vector_file(config: ResolvedConfig, folder: Path) -> Path:
    source = Path(config.vectors or "")
    return folder / f"{_data_file(config, folder).stem}-{_digest(_version(source))}.safetensors"


def _version(path: Path) -> tuple[str, int, int, int]:
    """Return what tells versions of a file apart: nobody can set the time of its last change."""
    found = path.stat()
    return path.name, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def _write_vectors(path: Path, known: KnownVectors) -> None:
    with replaced_file(path) as temporary:
        save_file(known._asdict(), temporary)


def _read_vectors(path: Path) -> KnownVectors:
    try:
        return KnownVectors(**load_file(path))
    except (OSError, SafetensorError, TypeError) as error:
        raise CheckpointError(
            f"{path} holds no word vectors ({error}); remove it, and they are packed again."
        ) from error

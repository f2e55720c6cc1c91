"""The files that a run's data come from: whether they are still those it was started on."""

from __future__ import annotations

from pathlib import Path

from associated_learning.data.reading.content import content_digest
from associated_learning.data.reading.named import DIGITS, NAMED
from associated_learning.errors import CheckpointError, InputError
from associated_learning.runs.settings.config import ResolvedConfig
from associated_learning.state.files import read_json, write_json

__all__ = ["check_sources", "keep_sources"]

_FILE = "sources.json"


def keep_sources(folder: Path, config: ResolvedConfig) -> None:
    """Keep the digests of a run's data in its folder, unless they are there.

    Raises:
        InputError: A file cannot be read.
        CheckpointError: The folder cannot be written.
    """
    if not (folder / _FILE).exists() and (digests := _digests(config)):
        write_json(folder / _FILE, digests)


def check_sources(folder: Path, config: ResolvedConfig) -> None:
    """Check that data are what they were when the run of a folder was started.

    Runs that are older than digests have none to check.

    Raises:
        InputError: A file is gone or has changed; says how to go on all the same.
        CheckpointError: The digests cannot be read.
    """
    path = folder / _FILE
    if not path.exists():
        return
    before = read_json(path)
    if not isinstance(before, dict):
        raise CheckpointError(f"{path} is not from this library; restore or remove it.")
    for name, now in _digests(config).items():
        if before.get(name) != now:
            raise InputError(
                f"{name} {getattr(config, name)}: the data have changed since the run in {folder} "
                "was started. Restore them, or train a new run on them in another --run-folder; "
                f"or, to go on with the changed data all the same, remove {path}."
            )


def _digests(config: ResolvedConfig) -> dict[str, str]:
    """Return the digest of the content of what each setting names; of the hub's data none."""
    own = config.data not in (DIGITS, *NAMED)
    places: dict[str, Path] = {}
    if own:
        places["data"] = Path(config.data)
    elif config.data != DIGITS and config.data_root is not None:
        places["data"] = Path(config.data_root) / config.data
    if own and config.test_data is not None:
        places["test_data"] = Path(config.test_data)
    return {name: content_digest([path]) for name, path in places.items()}

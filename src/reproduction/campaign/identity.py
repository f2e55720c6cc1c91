"""When two runs are the same: what of their settings decides what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from associated_learning.errors import CheckpointError
from associated_learning.runs.settings.config import COMPUTING
from associated_learning.runs.settings.resolved import restored

__all__ = ["Identity", "identity", "same_but_vectors"]

Identity = tuple[tuple[str, Any], ...]

_PLACES = ("data_root", "seed", *COMPUTING)


def identity(settings: Mapping[str, Any]) -> Identity | None:
    """Return what decides about the outcome of a run, up to its seed.

    Places, devices and numbers of threads are left out, files count by their names, and settings
    that the row is older than have their defaults: so one row serves every table that asks for it.

    Args:
        settings: `RunConfig.to_json`, or the ``config`` of a row of the ledger.

    Returns:
        The settings by name; None where they are of another version of this library.

    Example:
        >>> from associated_learning.runs.settings.config import RunConfig
        >>> one = RunConfig(seed=1, threads=2).to_json()
        >>> identity(one) == identity(RunConfig(seed=7, device="cpu").to_json())
        True
    """
    try:
        config = restored(settings)
    except CheckpointError:
        return None
    values = {name: value for name, value in config.to_json().items() if name not in _PLACES}
    for name in ("data", "vectors", "test_data"):
        values[name] = None if values[name] is None else Path(values[name]).name
    return tuple(sorted(values.items()))


def same_but_vectors(settings: Mapping[str, Any]) -> Identity | None:
    """Return `identity`, but of the word vectors only whether there are any.

    For a cell of a table, whose rows may rest on other vectors than this machine has.
    """
    found = identity(settings)
    if found is None:
        return None
    return tuple((name, value is not None if name == "vectors" else value) for name, value in found)

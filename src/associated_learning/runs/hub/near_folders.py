"""The folder that a misspelt path most likely means."""

from __future__ import annotations

import difflib
from pathlib import Path

__all__ = ["near_folders"]

_LIKE = 0.6  # of 1; below it a name is another one
_MOST = 3


def near_folders(path: Path, holding: str) -> list[str]:
    """Return up to three folders that exist, hold a file, and are spelt like a path.

    Every part of the path may be misspelt.

    Args:
        path: What does not exist.
        holding: Name of the file.
    """
    found = [Path(path.anchor)]
    for part in path.relative_to(path.anchor).parts:
        found = [below for folder in found for below in _spelt_like(folder, part)]
    return [str(folder) for folder in found if (folder / holding).is_file()][:_MOST]


def _spelt_like(folder: Path, part: str) -> list[Path]:
    """Return the folder below that has a name; those of names like it if there is none."""
    if (folder / part).is_dir():
        return [folder / part]
    try:
        names = [below.name for below in folder.iterdir() if below.is_dir()]
    except OSError:  # it may not be read
        return []
    return [folder / name for name in difflib.get_close_matches(part, names, _MOST, _LIKE)]

"""What a long benchmark has finished, so that it goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from associated_learning.state.files import read_json, write_json


def once(file: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what is kept in a file; it is made, kept and printed if there is no such file yet."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        made = make()
        write_json(file, made)
        print(file.stem, made, flush=True)
    found: dict[str, Any] = read_json(file)
    return found

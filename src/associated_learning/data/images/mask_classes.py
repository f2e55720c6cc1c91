"""The file that names the classes of masks: ``classes.txt`` or ``classes.json``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from associated_learning.data.images.mask_format import colour_key
from associated_learning.errors import InputError

__all__ = ["IGNORE", "NamedClasses", "read_classes"]

IGNORE = "ignore"  # the name of what does not count
_FILES = ("classes.txt", "classes.json")
_FORM = (
    "expected for each class a line NAME, NAME VALUE or NAME RED GREEN BLUE (numbers from 0 to"
    f" 255), all of one kind, or the same in JSON; {IGNORE} names what does not count"
)


class NamedClasses(NamedTuple):
    """What such a file tells.

    Attributes:
        names: Name of each class.
        keys: Its value, or its colour as `colour_key` gives it.
        ignored: Likewise of what does not count, if the file tells it.
        coloured: Whether keys are colours.
    """

    names: tuple[str, ...]
    keys: tuple[int, ...]
    ignored: int | None
    coloured: bool


def read_classes(folder: Path) -> NamedClasses | None:
    """Return the classes that a file in a folder names; None without such a file.

    Raises:
        InputError: There are two files, or one that cannot be read as such.
    """
    found = [folder / name for name in _FILES if (folder / name).is_file()]
    if len(found) > 1:
        raise InputError(f"{folder} holds {' and '.join(_FILES)}: expected one of them")
    if not found:
        return None
    file = found[0]
    try:
        text = file.read_text(encoding="utf-8-sig")
        entries = _of_json(json.loads(text)) if file.suffix == ".json" else _of_lines(text)
    except (OSError, ValueError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot read the classes in {file} ({error}): {_FORM}") from error
    return _checked(file, entries)


Entry = tuple[str, tuple[int, ...]]


def _of_lines(text: str) -> list[Entry]:
    """Return a name and its numbers for each line that is not empty."""
    lines = [line for line in map(str.strip, text.splitlines()) if line and line[0] != "#"]
    entries = []
    for line in lines:
        parts = re.split(r"[\s,;:]+", line)
        count = len(parts)
        while count > 1 and parts[count - 1].isdecimal():
            count -= 1
        entries.append((" ".join(parts[:count]), tuple(map(int, parts[count:]))))
    return entries


def _of_json(values: Any) -> list[Entry]:
    if isinstance(values, list):
        return [(str(name), ()) for name in values]
    return [
        (name, tuple(map(int, value)) if isinstance(value, list) else (int(value),))
        for name, value in values.items()
    ]


def _checked(file: Path, entries: list[Entry]) -> NamedClasses:
    lengths = {len(numbers) for _, numbers in entries}
    too_large = [name for name, numbers in entries if any(not 0 <= n <= 255 for n in numbers)]
    if len(lengths) != 1 or not lengths <= {0, 1, 3} or too_large:
        one = too_large[0] if too_large else next((name for name, _ in entries), "nothing")
        raise InputError(f"cannot read the classes in {file} (at {one!r}): {_FORM}")
    coloured = lengths == {3}
    keys = [colour_key(*n) if coloured else (n or (i,))[0] for i, (_, n) in enumerate(entries)]
    named = dict(zip((name for name, _ in entries), keys, strict=True))
    if len(named) != len(entries) or len(set(keys)) != len(keys):
        raise InputError(f"{file} names a class, a value or a colour twice; expected each once")
    ignored = named.pop(IGNORE, None)
    if len(named) < 2:
        raise InputError(f"{file} names the classes {[*named]}; expected two or more")
    return NamedClasses(tuple(named), tuple(named.values()), ignored, coloured)

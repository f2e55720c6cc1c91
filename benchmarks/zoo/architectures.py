"""All architectures of the zoo, by name."""

from __future__ import annotations

from architecture import Architecture
from hard import HARD
from plain import PLAIN
from positions import POSITIONS
from senses import AUDIO, SERIES, VIDEO
from text import TEXT
from vision import VISION

__all__ = ["ZOO"]

ZOO: dict[str, Architecture] = {
    entry.name: entry
    for entry in [*VISION, *TEXT, *AUDIO, *VIDEO, *SERIES, *PLAIN, *HARD, *POSITIONS]
}

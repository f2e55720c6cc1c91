"""What a contestant's run gives: when it began and ended, and how long each part computed."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["RankRun"]


class RankRun(NamedTuple):
    """A run as one rank saw it.

    Attributes:
        begin: When the first step began, by the clock that all processes of a machine share.
        end: When the last step ended; before ``begin`` on a rank that does not know.
        busy: Processor seconds of each thread of this rank that computes; waiting is none.
        blocks: Seconds of every AL block that this rank trained, zero for others.
    """

    begin: float
    end: float
    busy: list[float]
    blocks: list[float]

"""Ranks on this machine, as Linux shows them: who gives no sign may compute, or be stopped.

Signs of life need Python's lock, which a layer may hold for long. On the same machine the system
tells such a process from a dead one.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

__all__ = ["Neighbours", "own_place"]

_PROC = Path("/proc")
_BUSY = 0.05  # share of the time that one computes; threads that only wait for messages need 0.01


class _Status(NamedTuple):
    """What the system tells of a process.

    Attributes:
        state: "R" runs, "S" waits, "T" is stopped.
        parent: Number of the process that started it.
        computed: Seconds that its threads have computed.
        begun: When it was started; numbers of processes are used again.
    """

    state: str
    parent: int
    computed: float
    begun: str


def own_place() -> str:
    """Return by what processes on the same machine find this one; "-" where there is no /proc."""
    status = _status(os.getpid())
    return "-" if status is None else f"{_machine()}/{os.getpid()}/{status.begun}"


class Neighbours:
    """The ranks on the same machine that have the same parent, as those of a ``torchrun`` have."""

    def __init__(self) -> None:
        self._machine = _machine()
        self._computed: dict[int, float] = {}

    def computing(self, places: Mapping[int, str], elapsed: float) -> set[int]:
        """Return who has computed in the seconds since the last call, with or without a sign."""
        found = set()
        for rank, place in places.items():
            status = self._status(place)
            if status is None:
                continue
            before = self._computed.get(rank, status.computed)
            self._computed[rank] = status.computed
            if status.computed - before > _BUSY * elapsed:
                found.add(rank)
        return found

    def wake(self, place: str) -> bool:
        """Let one that was stopped go on, so that it learns that the run is over.

        Returns:
            Whether it was stopped.
        """
        status = self._status(place)
        if status is None or status.state not in "Tt":
            return False
        with suppress(OSError):
            os.kill(_process_of(place), signal.SIGCONT)
        return True

    def _status(self, place: str) -> _Status | None:
        """Return the status of a neighbour; None for anybody else."""
        machine, _, process = place.partition("/")
        number, _, begun = process.partition("/")
        if machine != self._machine or not number.isdecimal():
            return None
        status = _status(int(number))
        known = status is not None and status.begun == begun and status.parent == os.getppid()
        return status if known else None


def _process_of(place: str) -> int:
    return int(place.split("/")[1])


def _machine() -> str:
    """Return what only processes that see each other in /proc have in common."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}.{(_PROC / 'self/ns/pid').stat().st_ino}"
    except OSError:
        return "-"


def _status(process: int) -> _Status | None:
    try:
        told = (_PROC / str(process) / "stat").read_text()
    except OSError:
        return None
    fields = told.rpartition(")")[2].split()  # the name before may hold anything
    computed = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return _Status(fields[0], int(fields[1]), computed, fields[19])

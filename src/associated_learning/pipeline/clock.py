"""How long a batch took: what a run's record counts as seconds of training."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

from associated_learning.pipeline.items import Trained

__all__ = ["Clock", "StageClock", "WallClock"]


class Clock(ABC):
    """Tells the seconds of training batch by batch."""

    @abstractmethod
    def lap(self, report: Trained) -> float:
        """Return the seconds that a batch took."""

    @abstractmethod
    def go_on(self) -> None:
        """Training goes on after something else."""


class WallClock(Clock):
    """Counts from report to report, where training stands still while anything else is done."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()

    def lap(self, report: Trained) -> float:
        begin, self._begin = self._begin, time.perf_counter()
        return self._begin - begin

    def go_on(self) -> None:
        self._begin = time.perf_counter()


class StageClock(Clock):
    """Counts from batch to batch at the last stage, whenever its report is looked at."""

    def __init__(self) -> None:
        self._end: float | None = None

    def lap(self, report: Trained) -> float:
        begin = report.times[0].begin if self._end is None else self._end
        self._end = report.times[-1].end
        return max(0.0, self._end - begin)  # clocks of several machines may differ

    def go_on(self) -> None:
        pass  # it did all the while

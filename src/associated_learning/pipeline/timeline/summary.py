"""What a trace says in figures: utilisation, fill, drain and speed-up."""

from __future__ import annotations

from dataclasses import dataclass

from associated_learning.conversion.html_table import text_table

__all__ = ["Lane", "TraceSummary"]


@dataclass(frozen=True, kw_only=True)
class Lane:
    """One stage, or one replica of it, in a summary. Times in seconds.

    Attributes:
        name: Such as "stage 1: layers 1-2".
        batches: Number of spans.
        busy: Sum of the spans' lengths.
        mean: Mean time per batch: busy / batches.
        utilisation: Share of the makespan of the whole trace that it was busy.
    """

    name: str
    batches: int
    busy: float
    mean: float
    utilisation: float


@dataclass(frozen=True, kw_only=True)
class TraceSummary:
    """A trace in figures. Times in seconds; lanes are the stages, or their replicas.

    Busy times are those of the run itself: where stages slow each other down (shared memory, a
    shared card), they are longer than alone, and the speed-up over a process that runs alone is
    lower than ``achieved``.

    Attributes:
        lanes: Figures of every lane.
        makespan: From the first begin to the last end.
        fill: From the first begin until every lane has begun.
        drain: From the last end of the lane that ends first to the last end of all. Where only
            the first steps of a run were recorded, it is what follows the last of these.
        ideal: Sum(t) / max(t), t the mean time per batch of a lane: what a pipeline without fill
            and drain, transfers and jitter reaches.
        achieved: Sum of all busy time / makespan: lanes at work at the same time, on average.
        share: achieved / ideal.
    """

    lanes: tuple[Lane, ...]
    makespan: float
    fill: float
    drain: float
    ideal: float
    achieved: float
    share: float

    @property
    def utilisation(self) -> float:
        """Mean utilisation of the lanes: achieved / number of lanes."""
        return self.achieved / len(self.lanes)

    def __str__(self) -> str:
        rows = [
            (lane.name, str(lane.batches), f"{1e3 * lane.mean:.3f}", _percent(lane.utilisation))
            for lane in self.lanes
        ]
        lines = [
            text_table(("", "batches", "ms per batch", "utilisation"), rows),
            f"makespan {self.makespan:.4g} s, fill {self.fill:.3g} s, drain {self.drain:.3g} s",
            f"speed-up {self.achieved:.3f} of ideally {self.ideal:.3f}: {_percent(self.share)}",
        ]
        return "\n".join(lines)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"

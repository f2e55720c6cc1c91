"""The clock of the pipeline: which stage works on which batch when all stages are equally fast."""

from __future__ import annotations

from dataclasses import dataclass

from associated_learning.errors import InputError

__all__ = ["ClockTable"]

_MOST_TICKS, _MOST_STAGES = 12, 10  # more of them are left out in the middle of a printed table


@dataclass(frozen=True, kw_only=True)
class ClockTable:
    """The schedule of n batches on S stages (section 2.2.3) as a table that prints itself.

    Stage i works on batch k - i at tick k. Nothing comes back from the stages above, so a stage
    takes its next batch at once, and all work in every tick between filling and draining.

    Stages are named from 1, as everywhere in print; batches and ticks are counted from 0. Long
    runs are shortened in the middle.

    Attributes:
        num_batches: n, at least 1.
        num_stages: S, at least 1.

    Raises:
        InputError: A number is not whole or below 1.

    Example:
        >>> print(ClockTable(num_batches=6, num_stages=3))
        tick      0  1  2  3  4  5  6  7
        stage 1   0  1  2  3  4  5  .  .
        stage 2   .  0  1  2  3  4  5  .
        stage 3   .  .  0  1  2  3  4  5
        6 batches, 3 stages, 8 ticks: fill 2, drain 2, bubble 25.00 %
    """

    num_batches: int
    num_stages: int

    def __post_init__(self) -> None:
        for name, value in (("num_batches", self.num_batches), ("num_stages", self.num_stages)):
            if type(value) is not int or value < 1:
                raise InputError(f"{name}={value!r} came; expected a whole number of at least 1.")

    @property
    def ticks(self) -> int:
        """N + S - 1: the O(n + L) of section 2.2.3, where one process takes n S."""
        return self.num_batches + self.num_stages - 1

    @property
    def fill(self) -> int:
        """S - 1: ticks before the last stage gets its first batch."""
        return self.num_stages - 1

    @property
    def drain(self) -> int:
        """S - 1: ticks after the first stage has done its last batch."""
        return self.num_stages - 1

    @property
    def bubble(self) -> float:
        """(S - 1) / (n + S - 1): share of the stages' time that is lost in filling and draining.

        For the whole run, not for every batch: where gradients must come back (GPipe, 1F1B), n
        is the number of microbatches of one weight update.
        """
        return self.fill / self.ticks

    def batch(self, stage: int, tick: int) -> int | None:
        """Return the batch that a stage works on in a tick; None if it has none."""
        batch = tick - stage
        return batch if 0 <= batch < self.num_batches else None

    def __str__(self) -> str:
        ticks = _shortened(self.ticks, _MOST_TICKS)
        stages = _shortened(self.num_stages, _MOST_STAGES)
        rows = [["tick", *("..." if tick is None else str(tick) for tick in ticks)]]
        for stage in stages:
            name = "..." if stage is None else f"stage {stage + 1}"
            rows.append([name, *(self._cell(stage, tick) for tick in ticks)])
        return "\n".join([*_aligned(rows), self._footer()])

    def _cell(self, stage: int | None, tick: int | None) -> str:
        if stage is None or tick is None:
            return "..."
        batch = self.batch(stage, tick)
        return "." if batch is None else str(batch)

    def _footer(self) -> str:
        return (
            f"{self.num_batches} batches, {self.num_stages} stages, {self.ticks} ticks: "
            f"fill {self.fill}, drain {self.drain}, bubble {100 * self.bubble:.2f} %"
        )


def _shortened(count: int, most: int) -> list[int | None]:
    """Return 0 to ``count - 1``, or only the first and last of them around a None."""
    if count <= most:
        return list(range(count))
    half = most // 2
    return [*range(half), None, *range(count - half, count)]


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    names = [row[0].ljust(widths[0]) for row in rows]
    cells = [
        "".join(f"  {cell.rjust(width)}" for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    ]
    return [f"{name} {cell}" for name, cell in zip(names, cells, strict=True)]

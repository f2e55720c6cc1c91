"""A discrete-event simulation of the pipeline, fed with measured stage times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from associated_learning.errors import InputError
from associated_learning.pipeline.timeline.trace import Span, Trace

__all__ = ["Simulation", "StageTime", "simulate"]

Floats: TypeAlias = NDArray[np.float64]
StageTime: TypeAlias = float | Sequence[float] | Floats

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, eq=False)
class Simulation:
    """What a simulated run took; all times in seconds. Made by `simulate`.

    Attributes:
        finish: When each batch left the last stage, ``[n]``. No batch waits for a later one, so
            ``finish[j]`` is also the makespan of a run of only j + 1 batches.
        busy: Time that each stage worked, ``[S]``.
        blocked: Time that each stage held a finished batch for which the channel to the next
            stage had no room, ``[S]``.
        trace: The first batches as spans, as many as were asked for.
    """

    finish: Floats
    busy: Floats
    blocked: Floats
    trace: Trace

    @property
    def makespan(self) -> float:
        """Time from the start to when the last stage has done the last batch."""
        return float(self.finish[-1])

    @property
    def idle(self) -> Floats:
        """Time that each stage had no batch, ``[S]``: filling and draining count."""
        return np.maximum(self.makespan - self.busy - self.blocked, 0.0)  # no -0 by rounding

    @property
    def utilisation(self) -> Floats:
        """Share of the makespan that each stage worked, ``[S]``."""
        return self.busy / self.makespan

    @property
    def speed_up(self) -> float:
        """Sum of all work over the makespan: how much faster than one process in a row."""
        return float(self.busy.sum()) / self.makespan

    @property
    def bound(self) -> float:
        """Sum(t) / max(t), t the mean time per batch of a stage: no pipeline is faster."""
        return float(self.busy.sum() / self.busy.max())


def simulate(
    times: Sequence[StageTime],
    num_batches: int | None = None,
    *,
    transfer: float | Sequence[float] = 0.0,
    capacity: int | Sequence[int | None] | None = 2,
    traced: int = 0,
) -> Simulation:
    r"""Run n batches through S stages with bounded channels between them.

    A stage takes a batch as soon as it has handed over the one before and the stage below has
    delivered it; it holds a finished batch until its channel has room (back-pressure). A link
    between two stages carries one batch at a time. With work times t, transfer times x and
    capacities c, stage i begins (B), hands over (H) and delivers (A) batch j at

    .. math::
        B_{i,j} &= \max(H_{i,j-1},\, A_{i-1,j}) \\
        H_{i,j} &= \max(B_{i,j} + t_{i,j},\, B_{i+1,j-c_i}) \\
        A_{i,j} &= \max(H_{i,j},\, A_{i,j-1}) + x_i

    These are computed for all stages at once, along the anti-diagonals i + j of the clock
    (`associated_learning.pipeline.planning.schedule.ClockTable`), in n + S - 1 steps and with
    O(S max(c) + n) memory.

    Args:
        times: One entry a stage: seconds per batch, or a sequence of n of them.
        num_batches: n; may be left out if ``times`` has a sequence.
        transfer: Seconds that a batch takes from one stage to the next, the same for all S - 1
            links or one each.
        capacity: Most batches between two stages, handed over, on the way or waiting: at least
            1, or None for no bound; the same for all S - 1 channels or one each. The input has
            no bound: all batches are there at time 0.
        traced: Number of batches to keep in the trace.

    Raises:
        InputError: A time is negative or not finite, all are 0, or the lengths do not fit.

    Example:
        >>> run = simulate([0.02, 0.03, 0.01], num_batches=100, transfer=0.001)
        >>> print(f"{run.makespan:.3f} s, {run.speed_up:.2f}x of at most {run.bound:.2f}x")
        3.032 s, 1.98x of at most 2.00x
        >>> run.idle.round(3).tolist(), run.blocked.round(3).tolist()
        ([0.101, 0.032, 2.032], [0.931, 0.0, 0.0])

        One run gives the whole line O(n + L): with 64 stages, 100 times as many batches take
        100 times as long, plus once the time to fill 63 stages.

        >>> finish = simulate([0.01] * 64, num_batches=10_000).finish
        >>> [round(float(finish[n - 1]), 2) for n in (1, 100, 10_000)]
        [0.64, 1.63, 100.63]
    """
    work, n = _work(times, num_batches)
    num_stages = work.shape[1]
    links = _links(transfer, num_stages)
    handed, arrived = np.zeros(num_stages), np.zeros(num_stages + 1)
    blocked, finish = np.zeros(num_stages), np.empty(n)
    rooms = _Rooms(_capacities(capacity, num_stages), n)
    spans: list[Span] = []
    for k in range(len(work)):
        low, high = max(0, k - n + 1), min(num_stages, k + 1)  # the stages that have a batch
        begin = np.maximum(handed[low:high], arrived[low:high])
        done = begin + work[k, low:high]
        leave = np.maximum(done, rooms.opened(k, low, begin))
        blocked[low:high] += leave - done
        handed[low:high] = leave
        carried = arrived[low + 1 : high + 1]  # shifted: stage i + 1 reads what link i delivers
        np.add(np.maximum(leave, carried), links[low:high], out=carried)
        if high == num_stages:
            finish[k - num_stages + 1] = leave[-1]
        if k < traced + num_stages - 1:
            spans += _spans(k, low, begin, done, traced)
    names = tuple(f"stage {i + 1}" for i in range(num_stages))
    return Simulation(
        finish=finish,
        busy=_busy(work, n),
        blocked=blocked,
        trace=Trace(names=names, spans=tuple(sorted(spans, key=lambda span: span[:2]))),
    )


class _Rooms:
    """Remembers when batches began, so far back as a channel needs to know that it has room."""

    def __init__(self, capacities: Sequence[int | None], num_batches: int) -> None:
        bounds = [c for c in capacities if c is not None and c < num_batches]
        self._depth = depth = max(bounds, default=1)
        width = len(capacities) + 1
        # a ring of ticks; the row below it stays 0: channels that always have room look there
        self._begun = np.zeros((depth + 1, width))
        self._places = np.full((depth, len(capacities)), depth * width)
        for i, c in enumerate(capacities):
            if c is not None and c < num_batches:
                rows = (np.arange(depth) + 1 - c) % depth
                self._places[:, i] = rows * width + i + 1

    def opened(self, tick: int, low: int, begin: Floats) -> Floats:
        """Note when stages ``low`` and on begin; return when the channels behind them had room."""
        row, high = tick % self._depth, low + len(begin)
        self._begun[row, low:high] = begin
        return self._begun.take(self._places[row, low:high])


def _work(times: Sequence[StageTime], num_batches: int | None) -> tuple[Floats, int]:
    """Return the work of every stage in every tick, ``[n + S - 1, S]``, and n."""
    stages = [np.asarray(time, dtype=np.float64) for time in times]
    n = _one_length(stages, num_batches)
    if not all(np.isfinite(stage).all() and (stage >= 0).all() for stage in stages):
        raise InputError("a stage time is negative or not finite; expected seconds per batch.")
    if not any(stage.any() for stage in stages):
        raise InputError("all stage times are 0, or there is no stage; expected seconds per batch.")
    ticks = n + len(stages) - 1
    if all(stage.ndim == 0 for stage in stages):
        return np.broadcast_to(np.array(stages), (ticks, len(stages))), n
    work = np.zeros((ticks, len(stages)))
    for i, stage in enumerate(stages):
        work[i : i + n, i] = stage
    return work, n


def _one_length(stages: Sequence[Floats], num_batches: int | None) -> int:
    lengths = [len(stage) for stage in stages if stage.ndim]
    numbers = set(lengths if num_batches is None else [*lengths, num_batches])
    if len(numbers) != 1 or not all(type(number) is int and number > 0 for number in numbers):
        raise InputError(
            f"numbers of batches {sorted(numbers)} came; expected one whole number of at least 1, "
            "from num_batches or from sequences of times of one length."
        )
    return numbers.pop()


def _busy(work: Floats, num_batches: int) -> Floats:
    constant = work.strides[0] == 0  # every tick is the same memory
    return np.asarray(num_batches * work[0] if constant else work.sum(axis=0))


def _links(transfer: float | Sequence[float], num_stages: int) -> Floats:
    links = _one_each(transfer, num_stages, "transfer")
    if not all(0 <= link < math.inf for link in links):
        raise InputError(f"transfer={transfer!r} came; expected seconds, none of them negative.")
    return np.array([*links, 0.0])


def _capacities(capacity: int | Sequence[int | None] | None, num_stages: int) -> list[int | None]:
    capacities = _one_each(capacity, num_stages, "capacity")
    if any(c is not None and c < 1 for c in capacities):
        raise InputError(f"capacity={capacity!r} came; expected at least 1, or None for no bound.")
    return [*capacities, None]


def _one_each(value: T | Sequence[T], num_stages: int, name: str) -> list[T]:
    if not isinstance(value, Sequence):
        return [value] * (num_stages - 1)
    if len(value) != num_stages - 1:
        raise InputError(
            f"{len(value)} values of {name} came; expected {num_stages - 1}, one between every "
            f"two of the {num_stages} stages, or one number for all."
        )
    return list(value)


def _spans(tick: int, low: int, begin: Floats, done: Floats, traced: int) -> list[Span]:
    rows = enumerate(zip(begin.tolist(), done.tolist(), strict=True), start=low)
    return [Span(i, tick - i, *row) for i, row in rows if tick - i < traced]

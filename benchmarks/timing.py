"""Fair timing on a noisy machine: the contestants take turns, and ratios are made per round."""

from __future__ import annotations

import gc
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ["CLOCKS", "ROUNDS", "Spread", "alternate", "ratios", "spread"]

ROUNDS = "AL_BENCHMARK_ROUNDS"  # the variable that names a file for the raw rounds
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


class Spread(NamedTuple):
    """Median and quartiles of ``n`` values."""

    median: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.median:.3g} [{self.low:.3g}, {self.high:.3g}]"


def alternate(
    contestants: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    calls: int = 1,
    warmup: int = 5,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Time the contestants in turn (A B C, A B C, ...): seconds a call, one value a round.

    Args:
        contestants: What to call, by name.
        rounds: Number of values for each.
        calls: Calls a value is the mean of.
        warmup: Calls of each before the first round, which are not timed.
        clock: What to read; `time.process_time` counts processor seconds, which other
            programs on the machine disturb less (use one thread: waiting threads spin).
    """
    for function in contestants.values():
        for _ in range(warmup):
            function()
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    gc.collect()
    for _ in range(rounds):
        for name, function in contestants.items():
            begin = clock()
            for _ in range(calls):
                function()
            seconds[name].append((clock() - begin) / calls)
    if kept := os.environ.get(ROUNDS):
        with Path(kept).open("a", encoding="utf-8") as file:
            file.write(json.dumps(seconds) + "\n")
    return seconds


def ratios(numerators: list[float], denominators: list[float]) -> Spread:
    """Return the spread of the ratios of values from the same round."""
    return spread([a / b for a, b in zip(numerators, denominators, strict=True)])


def spread(values: list[float]) -> Spread:
    """Return median and quartiles."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0], 1)
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high, len(values))

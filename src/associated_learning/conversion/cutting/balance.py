"""Which cuts make layers of about equal cost."""

from __future__ import annotations

import bisect
import itertools
import math
import statistics
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np

from associated_learning.conversion.cutting.body import Body, Cut
from associated_learning.conversion.tracing.call import Call
from associated_learning.errors import InputError

__all__ = ["Balance", "Costs", "best_cuts", "without_slivers"]

Balance = Literal["time", "parameters", "flops"]
LEAST_SHARE = 0.05
_GOOD_ENOUGH = 1.5  # the costliest layer over the mean: then modules need not be taken apart more


class Costs:
    """The time, parameters or flops of the body of a model, from any event to any other."""

    def __init__(self, body: Body, balance: Balance) -> None:
        if balance not in get_args(Balance):
            known = ", ".join(get_args(Balance))
            raise InputError(f"balance={balance!r} came; expected one of {known}.")
        self.balance = balance
        marks = _parameter_marks(body) if balance == "parameters" else _call_marks(body, balance)
        marks.sort()
        self._times = [time for time, _ in marks]
        self._sums = [0.0, *itertools.accumulate(cost for _, cost in marks)]

    def between(self, begin: int, end: int) -> float:
        """Return the cost of what happens from ``begin`` on, before ``end``."""
        first, last = (bisect.bisect_left(self._times, time) for time in (begin, end))
        return self._sums[last] - self._sums[first]

    def shares(self, times: Sequence[int]) -> list[float]:
        """Return each layer's share of the cost of all, for layers that end at ``times``."""
        costs = [self.between(a, b) for a, b in itertools.pairwise([-1, *times])]
        total = sum(costs)
        return [cost / total if total else 1 / len(costs) for cost in costs]


def _parameter_marks(body: Body) -> list[tuple[int, float]]:
    return [
        (value.uses[0].time, float(value.tensor.numel()))
        for value in body.flow.parameters()
        if value.uses
    ]


def _call_marks(body: Body, balance: Balance) -> list[tuple[int, float]]:
    calls = [call for call in body.flow.recording.root.walk() if not call.children]
    if balance == "flops":
        return [(call.begin, float(call.flops)) for call in calls]
    # equal blocks cost the same, whatever else the machine did meanwhile
    alike: dict[Any, list[float]] = {}
    for call in calls:
        alike.setdefault(_likeness(call), []).append(call.seconds)
    return [(call.begin, statistics.median(alike[_likeness(call)])) for call in calls]


def _likeness(call: Call) -> tuple[Any, ...]:
    module = call.module
    weights = () if module is None else tuple(tuple(p.shape) for p in module.parameters())
    what = getattr(call.target, "__name__", type(call.target).__name__)
    return what, weights, tuple(tuple(tensor.shape) for tensor in call.tensors())


def best_cuts(body: Body, found: Sequence[Cut], costs: Costs, num_layers: int) -> list[Cut]:
    """Return the cuts whose costliest layer costs least, ``num_layers - 1`` or as many as fit.

    Of cuts at several depths of the tree of modules the shallow ones are taken, as long as they
    balance well.
    """
    best: tuple[float, list[Cut]] | None = None
    for depth in sorted({_depth(cut) for cut in found}):
        level = [cut for cut in found if _depth(cut) <= depth]
        partitions = _partitions(body, level, costs, num_layers - 1)
        if not partitions:
            continue
        worst, cuts = partitions[-1]
        # the costliest layer over the mean; deeper cuts must make more layers, or balance better
        badness = worst * (len(cuts) + 1)
        if best is None or len(cuts) > len(best[1]) or badness < 0.8 * best[0]:
            best = badness, cuts
        if len(best[1]) == num_layers - 1 and best[0] <= _GOOD_ENOUGH:
            break
    return [] if best is None else best[1]


def without_slivers(body: Body, cuts: list[Cut], costs: Costs) -> list[Cut]:
    """Return as many of the cuts as leave no layer with less than a twentieth of the cost.

    Where one layer holds nearly everything, because it cannot be cut, slivers beside it would
    only add bridges.
    """
    for _, some in reversed(_partitions(body, cuts, costs, len(cuts))):
        if min(costs.shares([*(cut.time for cut in some), body.end])) >= LEAST_SHARE:
            return some
    return cuts[:1]


def _depth(cut: Cut) -> int:
    return cut.name.count(".")


def _partitions(
    body: Body, cuts: Sequence[Cut], costs: Costs, most: int
) -> list[tuple[float, list[Cut]]]:
    """Return, for 1 to ``most`` cuts, the largest share and the best cuts, if there are any.

    By dynamic programming over the places: ``table[k]`` holds, for every place, the largest
    share of the best k cuts below it, and the last of them.
    """
    times = np.array([-1, *(cut.time for cut in cuts), body.end])
    sums = np.array([costs.between(-1, time) for time in times]) / (
        costs.between(-1, body.end) or 1.0
    )
    first_uses = sorted(value.uses[0].time for value in body.flow.parameters() if value.uses)
    holds = np.searchsorted(first_uses, times)  # parameters used below each place
    last = len(times) - 1
    worst = np.where(holds > holds[0], sums - sums[0], np.inf)
    table = [(worst, np.zeros(last + 1, int))]
    for k in range(1, min(most, len(cuts)) + 1):
        best, chosen = np.full(last + 1, np.inf), np.zeros(last + 1, int)
        for b in range(k + 1, last + 1):
            costs_above = np.where(holds[k:b] < holds[b], sums[b] - sums[k:b], np.inf)
            options = np.maximum(table[-1][0][k:b], costs_above)
            chosen[b] = k + int(options.argmin())
            best[b] = options[chosen[b] - k]
        table.append((best, chosen))
    found = [(float(best[last]), k) for k, (best, _) in enumerate(table) if k]
    return [(cost, _traced_back(table, cuts, k)) for cost, k in found if math.isfinite(cost)]


def _traced_back(table: list[tuple[Any, Any]], cuts: Sequence[Cut], count: int) -> list[Cut]:
    chosen, b = [], len(cuts) + 1
    for k in range(count, 0, -1):
        b = int(table[k][1][b])
        chosen.append(cuts[b - 1])
    return chosen[::-1]

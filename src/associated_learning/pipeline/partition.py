"""Which consecutive layers make a stage, so that the slowest stage is as fast as it can be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import NamedTuple

from associated_learning.errors import InputError

__all__ = ["Shape", "balanced", "best_shape", "checked_sizes"]


def balanced(times: Sequence[float], num_stages: int) -> tuple[int, ...]:
    """Return how many consecutive layers each stage gets, so that the slowest is fastest.

    The throughput of a pipeline is one over the time of its slowest stage. Of all partitions
    with the least slowest stage the one with the least variance is taken, and of several such
    the one with more layers in the earlier stages. Both are exact: a search for the smallest
    limit that S stages can keep, then dynamic programming over the partitions that keep it.

    Args:
        times: Seconds per batch of each layer.
        num_stages: S, 1 to the number of layers.

    Raises:
        InputError: There are more stages than layers, or a time is negative or not finite.

    Example:
        >>> balanced([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3)
        (3, 2, 1)
        >>> balanced([1.0] * 5, 2)
        (3, 2)
    """
    costs = _whole(times)
    _check_stages(num_stages, len(costs))
    return _evenest(_sums(costs), num_stages, _least_limit(costs, num_stages))


def checked_sizes(sizes: Sequence[int], num_layers: int) -> tuple[int, ...]:
    """Return the sizes of stages that were given by hand.

    Args:
        sizes: How many layers each stage has, in order.
        num_layers: Number of layers of the network.

    Raises:
        InputError: A size is not whole or below 1, or they do not add up to the layers.

    Example:
        >>> checked_sizes([2, 1], num_layers=3)
        (2, 1)
    """
    if not sizes or not all(_is_count(size) for size in sizes):
        raise InputError(
            f"stages={list(sizes)!r} came; expected how many layers each stage has, whole numbers "
            "of at least 1."
        )
    if sum(sizes) != num_layers:
        raise InputError(
            f"stages={list(sizes)} came, {sum(sizes)} layers in all; the network has {num_layers}. "
            f"Give sizes that add up to {num_layers}, or only the number of stages, "
            f"stages={min(len(sizes), num_layers)}, to have the layers shared out by measured time."
        )
    return tuple(sizes)


class Shape(NamedTuple):
    """The shape of a mesh of processes.

    Attributes:
        stages: S, each with layers of its own.
        replicas: R of every stage, each with its share of every batch.
    """

    stages: int
    replicas: int


def best_shape(times: Sequence[float], ranks: int, *, exchange: float = 0.05) -> Shape:
    r"""Return how many stages, and replicas of each, give the highest throughput on some ranks.

    Stages are those of `balanced`. R replicas share a batch, and average their gradients in a
    ring, in which each sends 2 (R - 1) / R times the gradients of its stage. So a batch takes

    .. math::
        \frac{1 + 2 x (R - 1)}{R} \max_i t_i

    seconds, x being ``exchange``. Were the exchange free, R = ``ranks`` replicas of a single
    stage would never lose, for :math:`R / \max t \le R S / \sum t`; its price is what speaks for
    stages, and stages that differ too much in time are what speaks for replicas.

    Of shapes that are equally fast, one that uses all ranks is preferred, and then the one with
    fewest replicas: with one, nothing is exchanged and training has the bits of one process.

    Args:
        times: Seconds per batch of each layer.
        ranks: Number of processes; stages times replicas is at most that.
        exchange: x, the time to send the gradients of a stage once over its time per batch.

    Raises:
        InputError: ``ranks`` is below 1, or a time is negative or not finite.

    Example:
        >>> best_shape([1.0, 1.0, 1.0, 1.0], ranks=4)
        Shape(stages=4, replicas=1)
        >>> best_shape([1.0, 1.0, 1.0, 1.0], ranks=8)
        Shape(stages=4, replicas=2)
        >>> best_shape([1.0, 9.0, 8.0, 1.0], ranks=4)
        Shape(stages=2, replicas=2)
    """
    costs = _whole(times)
    if not _is_count(ranks):
        raise InputError(f"ranks={ranks!r} came; expected a whole number of at least 1.")
    if not 0 <= exchange < math.inf:
        raise InputError(f"exchange={exchange!r} came; expected a share of at least 0.")
    found = []
    for stages in range(1, min(ranks, len(costs)) + 1):
        slowest = _least_limit(costs, stages)
        for replicas in range(1, ranks // stages + 1):
            share = (1 + 2 * Fraction(exchange) * (replicas - 1)) / replicas
            found.append((share * slowest, stages * replicas != ranks, replicas, stages))
    _, _, replicas, stages = min(found)
    return Shape(stages, replicas)


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 1  # True is an int, too


def _check_stages(num_stages: int, num_layers: int) -> None:
    if not _is_count(num_stages):
        raise InputError(f"stages={num_stages!r} came; expected a whole number of at least 1.")
    if num_stages > num_layers:
        raise InputError(
            f"stages={num_stages} came; the network has {num_layers} layers, and a stage needs one "
            f"at least. Ask for at most {num_layers} stages, or cut the network into more layers."
        )


def _whole(times: Sequence[float]) -> list[int]:
    """Return times as multiples of one unit: floats are fractions, so nothing is rounded."""
    if len(times) == 0:
        raise InputError("no times of layers came; expected the seconds of at least one.")
    if not all(0 <= time < math.inf for time in times):
        raise InputError(
            f"times {list(times)} came; expected seconds, finite and none of them negative."
        )
    ratios = [float(time).as_integer_ratio() for time in times]
    unit = max(denominator for _, denominator in ratios)  # powers of 2: the largest fits all
    return [numerator * (unit // denominator) for numerator, denominator in ratios]


def _sums(costs: Sequence[int]) -> list[int]:
    return [0, *accumulate(costs)]


def _least_limit(costs: Sequence[int], num_stages: int) -> int:
    """Return the least time that no stage need exceed, by bisection."""
    low, high = max(costs), sum(costs)
    while low < high:
        limit = (low + high) // 2
        if _stages_needed(costs, limit) <= num_stages:
            high = limit
        else:
            low = limit + 1
    return low


def _stages_needed(costs: Sequence[int], limit: int) -> int:
    """Return how many stages there are if each takes as many layers as the limit permits."""
    stages, time = 1, 0
    for cost in costs:
        time += cost
        if time > limit:
            stages, time = stages + 1, cost
    return stages


def _evenest(sums: Sequence[int], num_stages: int, limit: int) -> tuple[int, ...]:
    """Return the sizes with the least sum of squared times of which none exceeds the limit.

    ``best[i]`` is that sum for layers i and on, shared by the stages done so far, from the last
    one upwards; None if they cannot keep the limit.
    """
    count = len(sums) - 1
    best: list[int | None] = [None] * count + [0]
    ends: list[list[int]] = []  # of the stage that begins at each layer
    for _ in range(num_stages):
        options = [_first_stage(sums, best, begin, limit) for begin in range(count)]
        best = [value for value, _ in options] + [None]
        ends.append([end for _, end in options])
    places = [0]
    for end in reversed(ends):
        places.append(end[places[-1]])
    return tuple(b - a for a, b in pairwise(places))


def _first_stage(
    sums: Sequence[int], best: Sequence[int | None], begin: int, limit: int
) -> tuple[int | None, int]:
    """Return the least sum of squares from a layer on, and the end of the stage that begins it."""
    least, last = None, begin
    for end in range(begin + 1, len(sums)):
        time, rest = sums[end] - sums[begin], best[end]
        if time > limit:
            break
        # of equals the later end: more layers in the earlier stages
        if rest is not None and (least is None or time**2 + rest <= least):
            least, last = time**2 + rest, end
    return least, last

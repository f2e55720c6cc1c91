"""Which consecutive layers make a stage, so that the slowest stage is as fast as it can be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import NamedTuple

from associated_learning.errors import InputError

__all__ = ["Shape", "balanced", "best_shape", "checked_sizes"]


def balanced(
    times: Sequence[float], num_stages: int, *, handing: Sequence[float] | None = None
) -> tuple[int, ...]:
    """Return how many consecutive layers each stage gets, so that the slowest is fastest.

    The throughput of a pipeline is one over the time of its slowest stage. Of all partitions
    with the least slowest stage the one with the least sum of squared times is taken, the evenest,
    and of several such the one with more layers in the earlier stages. Both are exact, by dynamic
    programming.

    Args:
        times: Seconds per batch of each layer.
        num_stages: S, 1 to the number of layers.
        handing: Seconds per batch that it costs a stage to hand on what comes out of layer 1, 2,
            ..., L - 1, and as much the next one to take it; nothing if left out.

    Raises:
        InputError: There are more stages than layers, or a time is negative or not finite.

    Example:
        >>> balanced([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3)
        (3, 2, 1)
        >>> balanced([1.0] * 5, 2)
        (3, 2)
        >>> balanced([1.0] * 5, 2, handing=[0.0, 0.2, 0.9, 0.0])
        (2, 3)
    """
    _check_times(times)
    _check_stages(num_stages, len(times))
    line = _line(times, [0.0] * (len(times) - 1) if handing is None else handing)
    return _evenest(line, num_stages, _least_limit(line, num_stages))


def checked_sizes(sizes: Sequence[int], num_layers: int) -> tuple[int, ...]:
    """Return the sizes of stages that were given by hand.

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
    _check_times(times)
    if not _is_count(ranks):
        raise InputError(f"ranks={ranks!r} came; expected a whole number of at least 1.")
    if not 0 <= exchange < math.inf:
        raise InputError(f"exchange={exchange!r} came; expected a share of at least 0.")
    found, line = [], _line(times, [0.0] * (len(times) - 1))
    for stages in range(1, min(ranks, len(times)) + 1):
        slowest = _least_limit(line, stages)
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


def _check_times(times: Sequence[float]) -> None:
    if len(times) == 0:
        raise InputError("no times of layers came; expected the seconds of at least one.")
    if not all(0 <= time < math.inf for time in times):
        raise InputError(
            f"times {list(times)} came; expected seconds, finite and none of them negative."
        )


class _Line(NamedTuple):
    """The layers of a network in a row, in whole multiples of a unit of time.

    Attributes:
        sums: Time of the layers before each place, 0 to L.
        handing: Time to hand over at each place.
    """

    sums: Sequence[int]
    handing: Sequence[int]

    @property
    def length(self) -> int:
        return len(self.sums) - 1

    def layers(self, begin: int, end: int) -> int:
        """Return the time of the layers between two places."""
        return self.sums[end] - self.sums[begin]

    def stage(self, begin: int, end: int) -> int:
        """Return the time of the stage that they make."""
        return self.layers(begin, end) + self.handing[begin] + self.handing[end]


def _line(times: Sequence[float], handing: Sequence[float]) -> _Line:
    if len(handing) != len(times) - 1 or not all(0 <= time < math.inf for time in handing):
        raise InputError(
            f"handing={list(handing)} came for {len(times)} layers; expected the seconds of "
            f"{len(times) - 1} hand-overs, finite and none of them negative."
        )
    # floats are fractions, so nothing is rounded; powers of 2: the largest unit fits all
    ratios = [float(time).as_integer_ratio() for time in (*times, *handing)]
    unit = max(denominator for _, denominator in ratios)
    whole = [numerator * (unit // denominator) for numerator, denominator in ratios]
    layers, between = whole[: len(times)], whole[len(times) :]
    return _Line([0, *accumulate(layers)], [0, *between, 0])


def _least_limit(line: _Line, num_stages: int) -> int:
    """Return the least time that none of so many stages exceeds.

    ``best[i]`` is that time for layers i and on, shared by the stages done so far, from the last
    one upwards; None if there are fewer layers than stages.
    """
    best: list[int | None] = [None] * line.length + [0]
    for _ in range(num_stages):
        best = [_slowest(line, best, begin) for begin in range(line.length)] + [None]
    assert best[0] is not None
    return best[0]


def _slowest(line: _Line, best: Sequence[int | None], begin: int) -> int | None:
    least: int | None = None
    for end in range(begin + 1, line.length + 1):
        if least is not None and line.layers(begin, end) >= least:
            break
        rest = best[end]
        if rest is not None:
            slowest = max(line.stage(begin, end), rest)
            least = slowest if least is None else min(least, slowest)
    return least


def _evenest(line: _Line, num_stages: int, limit: int) -> tuple[int, ...]:
    """Return the sizes with the least sum of squared times of which none exceeds the limit.

    ``best[i]`` is that sum for layers i and on, shared by the stages done so far, from the last
    one upwards; None if they cannot keep the limit.
    """
    best: list[int | None] = [None] * line.length + [0]
    ends: list[list[int]] = []  # of the stage that begins at each layer
    for _ in range(num_stages):
        options = [_first_stage(line, best, begin, limit) for begin in range(line.length)]
        best = [value for value, _ in options] + [None]
        ends.append([end for _, end in options])
    places = [0]
    for end in reversed(ends):
        places.append(end[places[-1]])
    return tuple(b - a for a, b in pairwise(places))


def _first_stage(
    line: _Line, best: Sequence[int | None], begin: int, limit: int
) -> tuple[int | None, int]:
    """Return the least sum of squares from a layer on, and the end of the stage that begins it."""
    least, last = None, begin
    for end in range(begin + 1, line.length + 1):
        if line.layers(begin, end) > limit:
            break
        time, rest = line.stage(begin, end), best[end]
        if time > limit or rest is None:
            continue
        # of equals the later end: more layers in the earlier stages
        if least is None or time**2 + rest <= least:
            least, last = time**2 + rest, end
    return least, last

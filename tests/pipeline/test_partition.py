"""Partitions and shapes, against all that there are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from associated_learning.errors import InputError
from associated_learning.pipeline.planning.partition import (
    Shape,
    balanced,
    best_shape,
    checked_sizes,
)

# few different values make ties, any floats make none; 0.1 + 0.2 != 0.3 in floats
TIMES = st.one_of(
    st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.3, 1.0]), min_size=1, max_size=8),
    st.lists(st.floats(0, 1e6), min_size=1, max_size=8),
)


def all_sizes(num_layers: int, num_stages: int) -> Iterator[tuple[int, ...]]:
    for cuts in combinations(range(1, num_layers), num_stages - 1):
        yield tuple(b - a for a, b in pairwise((0, *cuts, num_layers)))


def stage_times(
    times: list[float], sizes: tuple[int, ...], handing: list[float] | None = None
) -> list[Fraction]:
    """Return each stage's time, with what it costs it to take and to hand on."""
    exact, begin, found = [Fraction(time) for time in times], 0, []
    between = [Fraction(time) for time in (0, *(handing or [0] * (len(times) - 1)), 0)]
    for size in sizes:
        end = begin + size
        found.append(sum(exact[begin:end], Fraction(0)) + between[begin] + between[end])
        begin = end
    return found


@given(TIMES, st.data())
def test_partitions_are_the_best_of_all(times: list[float], data: st.DataObject) -> None:
    """Least slowest stage; then least sum of squares; then most layers in the earlier stages."""
    num_stages = data.draw(st.integers(1, len(times)))
    between = len(times) - 1
    free = st.none()
    some = st.lists(
        st.one_of(st.sampled_from([0.0, 0.1, 0.3]), st.floats(0, 1e6)),
        min_size=between,
        max_size=between,
    )
    handing = data.draw(st.one_of(free, some))

    def worth(sizes: tuple[int, ...]) -> tuple[Fraction, Fraction, tuple[int, ...]]:
        stages = stage_times(times, sizes, handing)
        squares = sum((stage**2 for stage in stages), Fraction(0))
        return max(stages), squares, tuple(-size for size in sizes)

    assert balanced(times, num_stages, handing=handing) == min(
        all_sizes(len(times), num_stages), key=worth
    )


@given(TIMES, st.integers(1, 12), st.sampled_from([0.0, 0.05, 0.3, 0.7]))
def test_shapes_are_the_best_of_all(times: list[float], ranks: int, exchange: float) -> None:
    def worth(shape: Shape) -> tuple[Fraction, bool, int]:
        slowest = min(
            max(stage_times(times, sizes)) for sizes in all_sizes(len(times), shape.stages)
        )
        ring = 2 * Fraction(exchange) * (shape.replicas - 1) / shape.replicas
        seconds = slowest / shape.replicas + slowest * ring
        return seconds, shape.stages * shape.replicas < ranks, shape.replicas

    shapes = [
        Shape(stages, replicas)
        for stages in range(1, len(times) + 1)
        for replicas in range(1, ranks + 1)
        if stages * replicas <= ranks
    ]
    best = best_shape(times, ranks, exchange=exchange)
    assert best in shapes
    assert worth(best) == min(worth(shape) for shape in shapes)


@pytest.mark.parametrize(
    ("times", "ranks", "shape"),
    [
        ([1.0] * 4, 1, Shape(1, 1)),
        ([1.0] * 4, 2, Shape(2, 1)),
        ([1.0] * 4, 8, Shape(4, 2)),  # more ranks than layers
        ([1.0] * 6, 4, Shape(2, 2)),  # six layers are 2 + 2 + 1 + 1 on four stages
        ([1.0, 30.0, 1.0], 3, Shape(1, 3)),  # one layer is nearly all there is to do
    ],
)
def test_known_shapes(times: list[float], ranks: int, shape: Shape) -> None:
    assert best_shape(times, ranks) == shape


def test_replicas_of_one_stage_never_lose_if_the_exchange_is_free() -> None:
    """Why `exchange` is there."""
    assert best_shape([1.0, 2.0, 3.0, 4.0], 4, exchange=0.0) == Shape(1, 4)
    assert best_shape([1.0] * 4, 4, exchange=0.0) == Shape(4, 1)  # as fast, and nothing to send


def test_many_layers_take_no_time() -> None:
    begin = time.perf_counter()
    sizes = balanced([1.0 + (7 * i) % 13 for i in range(1000)], 64)
    assert sum(sizes) == 1000
    assert time.perf_counter() - begin < 20


def test_more_stages_than_layers() -> None:
    with pytest.raises(InputError, match=r"stages=4 came; the network has 3 layers.*at most 3"):
        balanced([1.0, 1.0, 1.0], 4)


@pytest.mark.parametrize("stages", [0, -1, 1.5, True])
def test_no_number_of_stages(stages: int) -> None:
    with pytest.raises(InputError, match=r"expected a whole number of at least 1"):
        balanced([1.0, 1.0], stages)


@pytest.mark.parametrize("time", [-1.0, float("nan"), float("inf")])
def test_no_times(time: float) -> None:
    with pytest.raises(InputError, match=r"finite and none of them negative"):
        balanced([1.0, time], 1)
    with pytest.raises(InputError, match=r"no times of layers came"):
        balanced([], 1)


def test_sizes_given_by_hand() -> None:
    assert checked_sizes((1, 3, 2), 6) == (1, 3, 2)
    with pytest.raises(InputError, match=r"5 layers in all; the network has 6.*stages=2"):
        checked_sizes([2, 3], 6)
    with pytest.raises(InputError, match=r"\[2, 0, 4\] came; expected how many layers"):
        checked_sizes([2, 0, 4], 6)
    with pytest.raises(InputError, match=r"\[\] came; expected how many layers"):
        checked_sizes([], 6)


@pytest.mark.parametrize("ranks", [0, 2.0])
def test_no_ranks(ranks: int) -> None:
    with pytest.raises(InputError, match=r"ranks=.* came; expected a whole number"):
        best_shape([1.0], ranks)


def test_no_exchange() -> None:
    with pytest.raises(InputError, match=r"exchange=-1 came"):
        best_shape([1.0], 1, exchange=-1)


def test_large_activations_are_not_handed_over() -> None:
    """A CNN's first layers hand on most: a slightly less even cut behind them is faster."""
    times, handing = [10.0, 10.0, 10.0, 10.0, 9.0, 9.0, 9.0, 9.0], [4.0] * 3 + [1.0] * 4
    assert balanced(times, 2) == (4, 4)
    assert balanced([12.0, 11.0, 11.0, 10.0, 8.0, 8.0, 8.0, 8.0], 2) == (3, 5)
    later = balanced([12.0, 11.0, 11.0, 10.0, 8.0, 8.0, 8.0, 8.0], 2, handing=[9.0] * 3 + [1.0] * 4)
    assert later == (4, 4)
    assert balanced(times, 2, handing=handing) == (4, 4)


@pytest.mark.parametrize("handing", [[0.1], [0.1, -1.0], [0.1, float("inf")]])
def test_no_times_of_handing_over(handing: list[float]) -> None:
    with pytest.raises(
        InputError, match=r"came for 3 layers; expected the seconds of 2 hand-overs"
    ):
        balanced([1.0, 1.0, 1.0], 2, handing=handing)

"""The schedule of section 2.2.3, as a table and by its laws."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from associated_learning.errors import InputError
from associated_learning.pipeline.planning.schedule import ClockTable

COUNTS = st.integers(1, 12)


def clock(n: int, stages: int) -> list[list[tuple[int, int]]]:
    """Return, tick by tick, the pairs (stage, batch) that work at the same time."""
    table = ClockTable(num_batches=n, num_stages=stages)
    found = [[(i, table.batch(i, tick)) for i in range(stages)] for tick in range(table.ticks)]
    return [[(i, batch) for i, batch in pairs if batch is not None] for pairs in found]


def test_four_batches_on_three_stages() -> None:
    assert clock(4, 3) == [
        [(0, 0)],
        [(0, 1), (1, 0)],
        [(0, 2), (1, 1), (2, 0)],
        [(0, 3), (1, 2), (2, 1)],
        [(1, 3), (2, 2)],
        [(2, 3)],
    ]


def test_fewer_batches_than_stages() -> None:
    assert clock(1, 3) == [[(0, 0)], [(1, 0)], [(2, 0)]]


@given(COUNTS, COUNTS)
def test_every_stage_takes_every_batch_once_as_early_as_it_can(n: int, stages: int) -> None:
    """A tick after its own last batch, and after the stage below had this one: no later."""
    when = {pair: tick for tick, pairs in enumerate(clock(n, stages)) for pair in pairs}
    assert len(when) == n * stages == sum(len(pairs) for pairs in clock(n, stages))
    for (stage, batch), tick in when.items():
        before = [when[pair] for pair in ((stage - 1, batch), (stage, batch - 1)) if pair in when]
        assert tick == max(before, default=-1) + 1


@given(COUNTS, COUNTS)
def test_closed_forms_count_the_table(n: int, stages: int) -> None:
    table, ticks = ClockTable(num_batches=n, num_stages=stages), clock(n, stages)
    assert table.ticks == len(ticks)
    last, first = stages - 1, 0
    starts = [tick for tick, pairs in enumerate(ticks) if any(stage == last for stage, _ in pairs)]
    works = [tick for tick, pairs in enumerate(ticks) if any(stage == first for stage, _ in pairs)]
    assert table.fill == starts[0]
    assert table.drain == len(ticks) - 1 - works[-1]
    idle = sum(stages - len(pairs) for pairs in ticks)
    assert table.bubble == pytest.approx(idle / (stages * len(ticks)))


def test_a_long_table_is_shortened_in_the_middle() -> None:
    lines = str(ClockTable(num_batches=60_000, num_stages=64)).splitlines()
    assert len(lines) == 1 + 10 + 1 + 1  # ticks, stages, what is left out, figures
    assert max(map(len, lines)) <= 110
    assert lines[0].split() == [
        *["tick", "0", "1", "2", "3", "4", "5", "..."],
        *["60057", "60058", "60059", "60060", "60061", "60062"],
    ]
    assert lines[2].split() == ["stage", "2", ".", *"01234", "...", *".....", "."]
    assert lines[-2].split()[-2:] == ["59998", "59999"]
    assert lines[-1] == (
        "60000 batches, 64 stages, 60063 ticks: fill 63, drain 63, bubble 0.10 %"
    )  # 63 / 60063


@pytest.mark.parametrize("wrong", [0, -3, 2.0, True, None])
def test_what_is_no_count(wrong: int) -> None:
    with pytest.raises(InputError, match=r"num_batches=.* came; expected a whole number"):
        ClockTable(num_batches=wrong, num_stages=3)
    with pytest.raises(InputError, match=r"num_stages=.* came; expected a whole number"):
        ClockTable(num_batches=3, num_stages=wrong)

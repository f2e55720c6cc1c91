"""The recurrence of the simulation, against a naive queue of events and closed forms."""

from __future__ import annotations

import heapq
import time
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from associated_learning.errors import InputError
from associated_learning.pipeline.planning.schedule import ClockTable
from associated_learning.pipeline.planning.simulation import simulate


@dataclass
class Events:
    """The pipeline as machines and boxes: what happens next happens next. Knows no recurrence.

    A box (between two stages) holds what was handed over and not begun; of that, one at a time
    is on the link, and what has arrived waits in a line.
    """

    times: list[list[float]]
    transfer: list[float]
    capacity: list[int | None]
    now: float = 0.0
    spans: dict[tuple[int, int], tuple[float, float]] = field(default_factory=dict)
    blocked: dict[int, float] = field(default_factory=dict)

    def run(self) -> Events:
        stages, n = len(self.times), len(self.times[0])
        self.lines: list[list[int]] = [list(range(n))] + [[] for _ in self.times[1:]]
        self.boxes = [0] * stages  # box i is between stages i and i + 1
        self.links: list[list[int]] = [[] for _ in self.times]
        self.working: list[int | None] = [None] * stages
        self.holding: list[tuple[int, float] | None] = [None] * stages
        self.queue: list[tuple[float, int, str, int]] = []
        self.counter = 0
        self.blocked = dict.fromkeys(range(stages), 0.0)
        self._settle()
        while self.queue:
            self.now, _, what, stage = heapq.heappop(self.queue)
            if what == "done":
                batch = self.working[stage]
                assert batch is not None
                self.holding[stage], self.working[stage] = (batch, self.now), None
            else:
                self.lines[stage + 1].append(self.links[stage].pop(0))
                if self.links[stage]:
                    self._at(self.now + self.transfer[stage], "arrived", stage)
            self._settle()
        return self

    def _at(self, when: float, what: str, stage: int) -> None:
        self.counter += 1
        heapq.heappush(self.queue, (when, self.counter, what, stage))

    def _settle(self) -> None:
        """Let everything happen that can happen now."""
        while any(self._hand_over(i) or self._begin(i) for i in range(len(self.times))):
            pass

    def _hand_over(self, i: int) -> bool:
        held = self.holding[i]
        last = i == len(self.times) - 1
        bound = None if last else self.capacity[i]
        if held is None or (bound is not None and self.boxes[i] >= bound):
            return False
        self.blocked[i] += self.now - held[1]
        self.holding[i] = None
        if not last:
            self.boxes[i] += 1
            self.links[i].append(held[0])
            if len(self.links[i]) == 1:
                self._at(self.now + self.transfer[i], "arrived", i)
        return True

    def _begin(self, i: int) -> bool:
        if self.working[i] is not None or self.holding[i] is not None or not self.lines[i]:
            return False
        batch = self.lines[i].pop(0)
        if i:
            self.boxes[i - 1] -= 1
        self.working[i] = batch
        self.spans[i, batch] = self.now, self.now + self.times[i][batch]
        self._at(self.spans[i, batch][1], "done", i)
        return True


SECONDS = st.one_of(st.sampled_from([0.0, 1.0, 2.0, 3.0]), st.floats(0, 10))


@st.composite
def pipelines(draw: st.DrawFn) -> Events:
    stages, n = draw(st.integers(1, 5)), draw(st.integers(1, 9))
    row = st.lists(SECONDS, min_size=n, max_size=n)
    times = draw(st.lists(row, min_size=stages, max_size=stages).filter(lambda t: np.sum(t) > 0))
    transfer = draw(st.lists(SECONDS, min_size=stages - 1, max_size=stages - 1))
    bound = st.one_of(st.integers(1, 4), st.none())
    return Events(times, transfer, draw(st.lists(bound, min_size=stages - 1, max_size=stages - 1)))


@given(pipelines())
@settings(max_examples=300, deadline=None)
def test_the_recurrence_is_the_queue_of_events(events: Events) -> None:
    """To the bit: both add and compare the same numbers."""
    run = events.run()
    n, stages = len(run.times[0]), len(run.times)
    found = simulate(run.times, transfer=run.transfer, capacity=run.capacity, traced=n)
    assert {(s.stage, s.step): (s.begin, s.end) for s in found.trace.spans} == run.spans
    assert found.finish.tolist() == [run.spans[stages - 1, j][1] for j in range(n)]
    assert found.blocked == pytest.approx(list(run.blocked.values()))
    assert found.busy == pytest.approx([sum(row) for row in run.times])
    total = found.busy + found.blocked + found.idle
    assert total == pytest.approx([found.makespan] * stages)


@given(
    st.lists(st.floats(0.01, 10), min_size=1, max_size=6),
    st.integers(1, 40),
    st.floats(0, 12),
    st.one_of(st.integers(1, 3), st.none()),
)
def test_constant_times_have_a_closed_form(
    times: list[float], n: int, transfer: float, capacity: int | None
) -> None:
    """One batch through all, then a step of the slowest stage, or link, for each of the others."""
    run = simulate(times, n, transfer=transfer, capacity=capacity)
    links = [transfer] * (len(times) - 1)
    slowest = max([*times, *links])
    assert run.makespan == pytest.approx(sum(times) + sum(links) + (n - 1) * slowest)
    assert run.bound == pytest.approx(sum(times) / max(times))
    assert run.speed_up == pytest.approx(n * sum(times) / run.makespan)


@given(st.integers(1, 30), st.integers(1, 12))
def test_equal_stages_keep_the_clock(n: int, stages: int) -> None:
    """A tick a second: the simulation is the schedule of section 2.2.3."""
    run, table = (
        simulate([1.0] * stages, n, capacity=1),
        ClockTable(num_batches=n, num_stages=stages),
    )
    assert run.makespan == table.ticks
    assert run.speed_up == pytest.approx(n * stages / table.ticks)
    assert run.utilisation.mean() == pytest.approx(1 - table.bubble)


def test_work_grows_as_n_plus_layers_not_n_times_layers() -> None:
    """O(n + L): each further batch, and each further layer, costs one more step."""
    finish = {L: simulate([1.0] * L, 200).finish for L in (1, 2, 8, 64)}
    for layers, times in finish.items():
        assert times.tolist() == [n + layers - 1 for n in range(1, 201)]


@given(pipelines())
@settings(max_examples=60, deadline=None)
def test_a_longer_run_begins_like_a_shorter_one(events: Events) -> None:
    """Batches never wait for later ones: one run holds the makespans of all shorter ones."""
    options = {"transfer": events.transfer, "capacity": events.capacity}
    finish = simulate(events.times, **options).finish
    half = max(1, len(finish) // 2)
    cut = [row[:half] for row in events.times]
    if np.sum(cut) > 0:
        assert simulate(cut, **options).finish.tolist() == finish[:half].tolist()


def test_back_pressure_by_hand() -> None:
    """Stage 1 (1 s) may be two batches ahead of stage 2 (3 s): one in the channel, one held."""
    run = simulate([1.0, 3.0], 4, capacity=1, traced=4)
    assert [(s.begin, s.end) for s in run.trace.spans if s.stage == 0] == [
        (0.0, 1.0),  # handed over, and begun at once: the channel is empty again
        (1.0, 2.0),  # handed over into the channel, until stage 2 takes it at 4
        (2.0, 3.0),  # held until 4
        (4.0, 5.0),  # held until 7
    ]
    assert run.blocked.tolist() == [1.0 + 2.0, 0.0]
    assert run.idle.tolist() == [13.0 - 4.0 - 3.0, 1.0]
    assert simulate([1.0, 3.0], 4, capacity=None).blocked.tolist() == [0.0, 0.0]


def test_a_queue_evens_out_what_varies() -> None:
    """Deeper channels lose less to jitter, and never gain from being shallower."""
    jitter = np.random.default_rng(0).gamma(20, 1 / 20, (4, 500))
    spans = [simulate(list(jitter), capacity=c).makespan for c in (1, 2, 8, None)]
    assert spans == sorted(spans, reverse=True)
    assert spans[0] > spans[-1]


def test_a_constant_beside_a_sequence() -> None:
    """Constants are the same as sequences of the same number, of which no memory is made."""
    varying = [1.0, 4.0, 2.0]
    mixed = simulate([2.0, varying]).finish
    assert mixed.tolist() == simulate([[2.0] * 3, varying]).finish.tolist()
    assert (
        simulate([2.0, 3.0], 3).finish.tolist() == simulate([[2.0] * 3, [3.0] * 3]).finish.tolist()
    )


def test_many_stages_and_batches_take_little_time() -> None:
    """A tenth of 10^6 batches on 64 stages, in a tenth of what a minute allows."""
    begin = time.perf_counter()
    run = simulate([0.01] * 64, 100_000, transfer=0.001)
    assert time.perf_counter() - begin < 6
    assert run.makespan == pytest.approx(64 * 0.01 + 63 * 0.001 + 99_999 * 0.01)


@pytest.mark.parametrize(
    ("times", "options", "message"),
    [
        ([1.0], {}, r"numbers of batches \[\] came"),
        ([1.0], {"num_batches": 0}, r"numbers of batches \[0\] came"),
        ([1.0], {"num_batches": 2.5}, r"numbers of batches \[2.5\] came"),
        ([[1.0, 2.0], [1.0]], {}, r"numbers of batches \[1, 2\] came"),
        ([[1.0, 2.0]], {"num_batches": 3}, r"numbers of batches \[2, 3\] came"),
        ([-1.0], {"num_batches": 3}, r"negative or not finite"),
        ([float("nan")], {"num_batches": 3}, r"negative or not finite"),
        ([0.0, 0.0], {"num_batches": 3}, r"all stage times are 0"),
        ([], {"num_batches": 3}, r"there is no stage"),
        ([1.0, 1.0], {"num_batches": 3, "transfer": -1.0}, r"transfer=-1.0 came"),
        ([1.0, 1.0], {"num_batches": 3, "transfer": [1.0, 1.0]}, r"2 values of transfer came"),
        ([1.0, 1.0], {"num_batches": 3, "capacity": 0}, r"capacity=0 came"),
        ([1.0, 1.0], {"num_batches": 3, "capacity": []}, r"0 values of capacity came; expected 1"),
    ],
)
def test_bad_input(times: list[float], options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        simulate(times, **options)

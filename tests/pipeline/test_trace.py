"""What ran: summaries by hand and by laws, files that Perfetto can read, threads that record."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from associated_learning.errors import CheckpointError, InputError
from associated_learning.pipeline.planning.simulation import simulate
from associated_learning.pipeline.timeline.trace import Recorder, Span, Trace, stage_names

# stage 1 needs 2 s, stage 2 needs 3 s, and gets the second batch 1 s late
SPANS = (
    Span(0, 7, 100.0, 102.0),
    Span(1, 7, 102.0, 105.0),
    Span(0, 8, 102.0, 104.0),
    Span(1, 8, 106.0, 109.0),
)
TRACE = Trace(names=("stage 1: layers 1-2", "stage 2: layer 3"), spans=SPANS)


def test_stages_are_named_by_their_layers() -> None:
    assert stage_names([1, 3, 1]) == (
        "stage 1: layer 1",
        "stage 2: layers 2-4",
        "stage 3: layer 5",
    )


def test_a_summary_by_hand() -> None:
    summary = TRACE.summary()
    assert (summary.makespan, summary.fill, summary.drain) == (9.0, 2.0, 5.0)
    assert summary.ideal == pytest.approx((2 + 3) / 3)
    assert summary.achieved == pytest.approx((4 + 6) / 9)
    assert summary.share == pytest.approx((10 / 9) / (5 / 3))
    assert summary.utilisation == pytest.approx((4 / 9 + 6 / 9) / 2)
    first, second = summary.lanes
    assert (first.name, first.batches, first.busy, first.mean) == (TRACE.names[0], 2, 4.0, 2.0)
    assert (second.mean, second.utilisation) == (3.0, pytest.approx(6 / 9))


def test_a_summary_prints_itself() -> None:
    assert str(TRACE.summary()).splitlines() == [
        "                     batches  ms per batch  utilisation",
        "-------------------  -------  ------------  -----------",
        "stage 1: layers 1-2  2        2000.000      44.4 %",
        "stage 2: layer 3     2        3000.000      66.7 %",
        "makespan 9 s, fill 2 s, drain 5 s",
        "speed-up 1.111 of ideally 1.667: 66.7 %",
    ]


@given(st.lists(st.floats(0.1, 5), min_size=1, max_size=5), st.integers(1, 12), st.floats(0, 0.5))
def test_summaries_agree_with_the_simulation(times: list[float], n: int, transfer: float) -> None:
    run = simulate(times, n, transfer=transfer, traced=n)
    summary = run.trace.summary()
    assert summary.makespan == pytest.approx(run.makespan)
    assert [lane.utilisation for lane in summary.lanes] == pytest.approx(list(run.utilisation))
    assert summary.achieved == pytest.approx(run.speed_up)
    assert summary.ideal == pytest.approx(run.bound)
    assert summary.fill == pytest.approx(sum(times[:-1]) + (len(times) - 1) * transfer)


def test_replicas_are_lanes_of_their_own() -> None:
    """Two replicas of two balanced stages: four lanes, so ideally four at work."""
    spans = tuple(s._replace(replica=r) for r in (0, 1) for s in simulate([1.0, 1.0], 9, traced=9)
                  .trace.spans)  # fmt: skip
    summary = Trace(names=stage_names([1, 1]), spans=spans).summary()
    assert [lane.name for lane in summary.lanes] == [
        "stage 1: layer 1, replica 1",
        "stage 1: layer 1, replica 2",
        "stage 2: layer 2, replica 1",
        "stage 2: layer 2, replica 2",
    ]
    assert summary.ideal == pytest.approx(4.0)
    assert summary.achieved == pytest.approx(4 * 9 / 10)


def test_an_empty_trace_has_no_summary() -> None:
    with pytest.raises(InputError, match=r"the trace is empty"):
        Trace(names=("stage 1",), spans=()).summary()


def test_chrome_trace(tmp_path: Path) -> None:
    """By the Trace Event Format: complete events in microseconds, and metadata that names."""
    path = tmp_path / "new folder" / "trace.json"
    TRACE.save_chrome(path)
    value = json.loads(path.read_text(encoding="utf-8"))
    events = value["traceEvents"]
    names = {
        (event["pid"], event["tid"]): event["args"]["name"]
        for event in events
        if event["ph"] == "M" and event["name"] == "thread_name"
    }
    assert sorted(names.values()) == sorted(TRACE.names)
    assert [e["args"]["name"] for e in events if e["name"] == "process_name"] == ["replica 1"]
    complete = [event for event in events if event["ph"] == "X"]
    assert [
        (names[e["pid"], e["tid"]], e["args"]["batch"], e["ts"], e["dur"]) for e in complete
    ] == [
        (TRACE.names[0], 7, 0.0, 2e6),
        (TRACE.names[1], 7, 2e6, 3e6),
        (TRACE.names[0], 8, 2e6, 2e6),
        (TRACE.names[1], 8, 6e6, 3e6),
    ]
    assert [e["name"] for e in complete] == ["batch 7", "batch 7", "batch 8", "batch 8"]


def test_replicas_are_processes_in_chrome(tmp_path: Path) -> None:
    spans = tuple(span._replace(replica=r) for span in SPANS for r in (0, 1))
    Trace(names=TRACE.names, spans=spans).save_chrome(str(tmp_path / "trace.json"))
    events = json.loads((tmp_path / "trace.json").read_text(encoding="utf-8"))["traceEvents"]
    processes = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
    threads = {(e["pid"], e["tid"]) for e in events if e["name"] == "thread_name"}
    assert sorted(processes.values()) == ["replica 1", "replica 2"]
    assert {(e["pid"], e["tid"]) for e in events if e["ph"] == "X"} == threads
    assert len(threads) == 4


def test_a_trace_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    TRACE.save_chrome(path)
    old = path.read_bytes()
    broken = Trace(names=TRACE.names, spans=(Span(0, 0, 0.0, 1.0),))
    object.__setattr__(broken, "names", (object(), "two"))  # no JSON
    with pytest.raises(TypeError, match=r"not JSON serializable"):
        broken.save_chrome(path)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(CheckpointError, match=r"could not be saved"):
        TRACE.save_chrome(path / "below a file")


def test_spans_of_a_stage_without_a_name() -> None:
    with pytest.raises(InputError, match=r"spans of stages \[1\] came; expected stages 0 to 0"):
        Trace(names=("stage 1",), spans=SPANS)


def test_a_trace_on_another_clock_tells_the_same() -> None:
    moved = TRACE.shifted(-50.0)
    assert [span.begin for span in moved.spans] == [50.0, 52.0, 52.0, 56.0]
    assert moved.summary() == TRACE.summary()


def test_a_recorder_keeps_only_the_steps_asked_for() -> None:
    recorder = Recorder(["stage 1"], first_step=10, num_steps=3)
    for step in range(100):
        recorder.record(0, step, float(step), step + 1.0)
    assert [span.step for span in recorder.trace().spans] == [10, 11, 12]


def test_many_threads_record_at_once() -> None:
    """Nothing is lost, and the trace can be read meanwhile."""
    stages, steps = 8, 2000
    recorder = Recorder(stage_names([1] * stages), num_steps=steps)
    start = threading.Barrier(stages + 1)

    def work(stage: int) -> None:
        start.wait()
        for step in range(steps):
            recorder.record(stage, step, step, step + 0.5)

    threads = [threading.Thread(target=work, args=(stage,)) for stage in range(stages)]
    for thread in threads:
        thread.start()
    start.wait()
    sizes = [len(recorder.trace().spans) for _ in range(20)]
    for thread in threads:
        thread.join()
    assert sizes == sorted(sizes)
    spans = recorder.trace().spans
    assert len(spans) == stages * steps
    assert {(span.stage, span.step) for span in spans} == set(np.ndindex(stages, steps))

"""What ran when: a span per stage and batch, as a value to measure and to look at."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from associated_learning.errors import InputError
from associated_learning.pipeline.timeline.summary import Lane, TraceSummary
from associated_learning.state.files import replaced_file

__all__ = ["Recorder", "Span", "Trace", "stage_names"]

_MICROSECONDS = 1e6


class Span(NamedTuple):
    """One stage at work on one batch.

    Attributes:
        stage: Number of the stage, from 0 (print names it from 1).
        step: Number of the batch, from 0: the weight update that it makes.
        begin: Seconds on a clock that all spans of a trace share.
        end: Seconds on that clock.
        replica: Which replica of the stage, from 0.
    """

    stage: int
    step: int
    begin: float
    end: float
    replica: int = 0


def stage_names(sizes: Iterable[int]) -> tuple[str, ...]:
    """Name stages by the layers they hold.

    Example:
        >>> stage_names([2, 1])
        ('stage 1: layers 1-2', 'stage 2: layer 3')
    """
    names, last = [], 0
    for i, size in enumerate(sizes):
        first, last = last + 1, last + size
        layers = f"layer {last}" if first == last else f"layers {first}-{last}"
        names.append(f"stage {i + 1}: {layers}")
    return tuple(names)


@dataclass(frozen=True, kw_only=True)
class Trace:
    """The spans of a run, or of the first part of it.

    Attributes:
        names: Names of the stages, such as `stage_names` makes.
        spans: The spans, in any order.

    Example:
        >>> trace = Trace(
        ...     names=stage_names([2, 1]),
        ...     spans=(Span(0, 0, 0.0, 0.2), Span(0, 1, 0.2, 0.4), Span(1, 0, 0.2, 0.3),
        ...            Span(1, 1, 0.4, 0.5)),
        ... )
        >>> print(trace.summary())
                             batches  ms per batch  utilisation
        -------------------  -------  ------------  -----------
        stage 1: layers 1-2  2        200.000       80.0 %
        stage 2: layer 3     2        100.000       40.0 %
        makespan 0.5 s, fill 0.2 s, drain 0.1 s
        speed-up 1.200 of ideally 1.500: 80.0 %
    """

    names: tuple[str, ...]
    spans: tuple[Span, ...]

    def __post_init__(self) -> None:
        unknown = {span.stage for span in self.spans} - set(range(len(self.names)))
        if unknown:
            raise InputError(
                f"spans of stages {sorted(unknown)} came; expected stages 0 to "
                f"{len(self.names) - 1}, one for each of the {len(self.names)} names."
            )

    def shifted(self, seconds: float) -> Trace:
        """Return the trace on another clock, which shows ``seconds`` more.

        Clocks of processes on one machine agree; those of several machines do not.
        """
        moved = (s._replace(begin=s.begin + seconds, end=s.end + seconds) for s in self.spans)
        return Trace(names=self.names, spans=tuple(moved))

    def lanes(self) -> dict[tuple[int, int], list[Span]]:
        """Return the spans of every (stage, replica), in order of time."""
        lanes: dict[tuple[int, int], list[Span]] = {}
        for span in sorted(self.spans, key=lambda span: (span.stage, span.replica, span.begin)):
            lanes.setdefault((span.stage, span.replica), []).append(span)
        return lanes

    def lane_name(self, stage: int, replica: int) -> str:
        """Return the stage's name, with the number of the replica if there are several."""
        several = any(span.replica for span in self.spans)
        return self.names[stage] + (f", replica {replica + 1}" if several else "")

    def summary(self) -> TraceSummary:
        """Return utilisation, fill, drain and speed-up; `TraceSummary` says what each means.

        Raises:
            InputError: The trace is empty.
        """
        spans = self.lanes()
        begin = min((span.begin for span in self.spans), default=0.0)
        end = max((span.end for span in self.spans), default=0.0)
        if end <= begin:
            raise InputError("the trace is empty; record at least one batch before its summary.")
        lanes = tuple(_lane(self.lane_name(*key), some, end - begin) for key, some in spans.items())
        means = [lane.mean for lane in lanes]
        ideal, achieved = sum(means) / max(means), sum(lane.utilisation for lane in lanes)
        return TraceSummary(
            lanes=lanes,
            makespan=end - begin,
            fill=max(some[0].begin for some in spans.values()) - begin,
            drain=end - min(some[-1].end for some in spans.values()),
            ideal=ideal,
            achieved=achieved,
            share=achieved / ideal,
        )

    def save_chrome(self, path: Path | str) -> None:
        """Write the trace for https://ui.perfetto.dev or chrome://tracing.

        Every replica is a process, every stage a thread in it, every batch a complete event
        ("ph": "X") with ts and dur in microseconds from the first begin on (Chrome's Trace Event
        Format).

        Raises:
            CheckpointError: The file cannot be written; an older one stays as it was.
        """
        start = min((span.begin for span in self.spans), default=0.0)
        events = [*self._metadata(), *(_event(span, start) for span in self.spans)]
        value = {"traceEvents": events, "displayTimeUnit": "ms"}
        with replaced_file(Path(path)) as temporary:
            temporary.write_text(json.dumps(value), encoding="utf-8")

    def _metadata(self) -> list[dict[str, Any]]:
        events = []
        for replica in sorted({span.replica for span in self.spans}):
            process = f"replica {replica + 1}"
            events.append(_meta("process_name", replica, 0, name=process))
            for stage, name in enumerate(self.names):
                events.append(_meta("thread_name", replica, stage, name=name))
                events.append(_meta("thread_sort_index", replica, stage, sort_index=stage))
        return events


class Recorder:
    """Collects spans while the stages run; keeps those of a range of steps, so memory is bounded.

    Example:
        >>> recorder = Recorder(stage_names([1, 1]), num_steps=2)
        >>> for step in range(1000):
        ...     recorder.record(0, step, begin=0.1 * step, end=0.1 * step + 0.1)
        >>> len(recorder.trace().spans)
        2
    """

    def __init__(self, names: Sequence[str], *, first_step: int = 0, num_steps: int = 1000) -> None:
        self._names = tuple(names)
        self._first, self._end = first_step, first_step + num_steps
        self._spans: list[Span] = []

    def record(self, stage: int, step: int, begin: float, end: float, replica: int = 0) -> None:
        """Keep a span, if it belongs to the range of steps. Any thread may call it."""
        if self._first <= step < self._end:
            self._spans.append(Span(stage, step, begin, end, replica))  # append is atomic

    def trace(self) -> Trace:
        """Return what was recorded so far."""
        return Trace(names=self._names, spans=tuple(self._spans))


def _lane(name: str, spans: Sequence[Span], makespan: float) -> Lane:
    busy = sum(span.end - span.begin for span in spans)
    return Lane(
        name=name,
        batches=len(spans),
        busy=busy,
        mean=busy / len(spans),
        utilisation=busy / makespan,
    )


def _event(span: Span, start: float) -> dict[str, Any]:
    return {
        "name": f"batch {span.step}",
        "cat": "batch",
        "ph": "X",
        "ts": _MICROSECONDS * (span.begin - start),
        "dur": _MICROSECONDS * (span.end - span.begin),
        "pid": span.replica + 1,
        "tid": span.stage + 1,
        "args": {"batch": span.step},
    }


def _meta(what: str, replica: int, stage: int, **arguments: Any) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": replica + 1, "tid": stage + 1, "args": arguments}

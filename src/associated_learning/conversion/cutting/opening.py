"""Which calls are taken apart: those that cuts fall into, and modules that several layers call."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence

from associated_learning.conversion.tracing.call import Call
from associated_learning.conversion.tracing.flow import Flow

__all__ = ["Opening"]


class Opening:
    """Which calls of a run are taken apart, for any cuts.

    A module that is called several times, ``self.blocks(x, i)``, and holds what several layers
    train, is taken apart too, so that each layer holds the part that it uses.
    """

    def __init__(self, flow: Flow, end: int) -> None:
        self.root = flow.recording.root
        self.end = end
        self._held = _held_twice(flow, end)

    def opened(self, times: Sequence[int]) -> list[Call]:
        """Return the calls that cuts at these times take apart, by the time they began."""
        found = {id(call): call for call in _cut_through(self.root, sorted(times))}
        while True:
            more = self._called_by_several(found, sorted(times))
            if not more:
                return sorted(found.values(), key=lambda call: call.begin)
            found.update((id(call), call) for call in more)

    def _called_by_several(self, opened: dict[int, Call], times: Sequence[int]) -> list[Call]:
        """Return calls of modules that hold weights of several layers, and can be taken apart."""
        layers: dict[int, set[int]] = {}
        whole = [
            (call, state)
            for call, state in self._held
            if id(call) not in opened and id(call.parent) in opened
        ]
        for call, state in whole:
            for key in state:
                layers.setdefault(key, set()).add(bisect.bisect_right(times, call.begin))
        several = {key for key, where in layers.items() if len(where) > 1}
        return [call for call, state in whole if call.children and not several.isdisjoint(state)]


def _cut_through(root: Call, times: Sequence[int]) -> Iterator[Call]:
    """Yield the calls that a cut at one of the times falls into, from ``root`` inwards."""
    for time in times:
        call: Call | None = root
        while call is not None and call.begin < time <= call.end:
            yield call
            before = bisect.bisect_left(call.children, time, key=lambda child: child.begin)
            call = call.children[before - 1] if before else None


def _held_twice(flow: Flow, end: int) -> list[tuple[Call, set[int]]]:
    """Return the calls of modules that hold state which calls beside them hold too."""
    holder: dict[int, Call] = {}
    shared: set[int] = set()
    calls = [c for c in flow.recording.root.walk() if c.module is not None and c.path]
    calls = [call for call in calls if call.begin < end]
    held = [(call, set(map(id, _state(call)))) for call in calls]
    for call, state in held:
        for key in state:
            first = holder.setdefault(key, call)
            if call.begin > first.end:
                shared.add(key)
    shared -= {key for key in shared if not flow.state[key].sources} - flow.changed(shared)
    return [(call, state & shared) for call, state in held if not state.isdisjoint(shared)]


def _state(call: Call) -> Iterator[object]:
    assert call.module is not None
    yield from call.module.parameters()
    yield from call.module.buffers()

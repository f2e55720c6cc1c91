"""Where a recorded model can be cut into layers."""

from __future__ import annotations

import bisect
from collections.abc import Iterator

from torch import nn

from associated_learning.conversion.cutting.body import Body, Cut
from associated_learning.conversion.cutting.faults import faults_at
from associated_learning.conversion.tracing.call import Call

__all__ = ["best_time", "candidates"]


def candidates(body: Body, *, anywhere: bool = False, any_size: bool = True) -> list[Cut]:
    """Return every place before the call of a module with weights where a cut has no fault.

    Of several modules that begin with the same activation, the outermost counts; of several calls
    of a module, the first, which its name stands for. Activation functions and lone normalisations
    stay with what comes before them.

    Args:
        body: What is cut.
        anywhere: Whether normalisations count too, where too few other modules do.
        any_size: See `faults_at`.
    """
    found: dict[int, Cut] = {}
    for call in _first_calls(body):
        assert call.module is not None
        if not call.holds_weights or not (anywhere or _begins_anew(call.module)):
            continue
        time = best_time(body, call)
        s = body.activation(time)
        if s is None or id(s.tensor) in found:
            continue
        if not faults_at(body, call.path, time, any_size=any_size):
            found[id(s.tensor)] = Cut(call.path, time, s)
    return list(found.values())


def _first_calls(body: Body) -> Iterator[Call]:
    seen: set[str] = set()
    for call in body.flow.recording.root.walk():
        if call.module is not None and call.path and call.begin < body.end:
            if call.path not in seen:
                yield call
            seen.add(call.path)


def _begins_anew(module: nn.Module) -> bool:
    """Whether a module is no lone normalisation, which belongs to what comes before it."""
    return "Norm" not in type(module).__name__ or next(module.children(), None) is not None


def best_time(body: Body, call: Call) -> int:
    """Return the time of a cut before a call: before what prepares its arguments, if need be.

    In ``x = x + conv(pad(x))`` two activations flow between pad and conv, one before both; in
    ``rnn(pack_padded_sequence(x, lengths))`` what flows between the two holds no row a sample.
    """
    siblings = call.parent.children if call.parent is not None else []
    index = bisect.bisect_left(siblings, call.begin, key=lambda sibling: sibling.begin)
    single: int | None = None
    for earlier in (call, *reversed(siblings[:index])):
        if earlier is not call and earlier.module is not None:
            break
        s = body.activation(earlier.begin)
        if s is not None and body.rows.follow(s.tensor):
            return earlier.begin
        if s is not None and single is None:
            single = earlier.begin
    return call.begin if single is None else single

"""The part of a model that becomes layers, and what flows over each place in it."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import nn

from associated_learning.conversion.cutting.opening import Opening
from associated_learning.conversion.cutting.unrepeatable import Unrepeatable, unrepeatable
from associated_learning.conversion.tracing.call import Call
from associated_learning.conversion.tracing.flow import Flow, Value, is_activation
from associated_learning.conversion.tracing.rows import Rows
from associated_learning.errors import ConversionError, Fault

__all__ = ["Body", "Cut", "find_body", "place_of"]


class Cut(NamedTuple):
    """A place between two layers.

    Attributes:
        name: The module before or after whose call the cut is made.
        time: The event's time.
        s: The one activation that flows over it.
    """

    name: str
    time: int
    s: Value


@dataclass(frozen=True)
class Body:
    """The part of a model that becomes layers.

    Attributes:
        flow: The model's data flow.
        end: Time at which the head begins, which is dropped.
        features: What the head takes: the last layer's activation.
        rows: Which axis of an activation holds the samples.
    """

    flow: Flow
    end: int
    features: Value
    rows: Rows

    def activations(self, time: int) -> tuple[Value, ...]:
        """Return the activations that flow over a place."""
        times, live = self._live
        return live[bisect.bisect_right(times, time)]

    def activation(self, time: int) -> Value | None:
        """Return the one activation that flows over a place; None if there is none or several."""
        found = self.activations(time)
        return found[0] if len(found) == 1 else None

    def is_reached(self, time: int) -> bool:
        """Whether an activation flows over a place at all: not before the first parameters."""
        return bool(self.activations(time))

    @cached_property
    def opening(self) -> Opening:
        """Which calls cuts take apart."""
        return Opening(self.flow, self.end)

    @cached_property
    def unrepeatable(self) -> dict[int, list[Unrepeatable]]:
        """What the forwards of the run do that cannot be repeated, by the id of their calls."""
        return unrepeatable(self.flow)

    @cached_property
    def crossing(self) -> tuple[tuple[int, Value], ...]:
        """Parameters and buffers that are used at more than one time before the head, by id."""
        return tuple(
            (key, value)
            for key, value in self.flow.state.items()
            if len(value.uses) > 1
            and (last := value.last_use(self.end)) is not None
            and value.uses[0].time < last.time
        )

    def used_before(self, time: int) -> int:
        """Return the sources, one bit each, of the parameters that are used before a time."""
        times, sources = self._first_uses
        return sources[bisect.bisect_left(times, time)]

    @cached_property
    def _first_uses(self) -> tuple[list[int], list[int]]:
        used = [value for value in self.flow.parameters() if value.uses]
        used.sort(key=lambda value: value.uses[0].time)
        sums = itertools.accumulate((v.sources for v in used), lambda a, b: a | b, initial=0)
        return [value.uses[0].time for value in used], list(sums)

    @cached_property
    def _live(self) -> tuple[list[int], list[tuple[Value, ...]]]:
        """The times from which on another set of activations is live, and these sets."""
        begins: dict[int, list[Value]] = {}
        ends: dict[int, list[Value]] = {}
        for value in self.flow.values.values():
            last = value.last_use(self.end)
            if last is not None and last.time > value.born and is_activation(value):
                begins.setdefault(value.born + 1, []).append(value)
                ends.setdefault(last.time + 1, []).append(value)
        times = sorted({*begins, *ends})
        live: dict[int, Value] = {}
        sets: list[tuple[Value, ...]] = [()]
        for time in times:
            for value in ends.get(time, []):
                del live[id(value)]
            live.update((id(value), value) for value in begins.get(time, []))
            sets.append(tuple(live.values()))
        return times, sets


def find_body(flow: Flow, end: int, rows: Rows | None = None) -> Body:
    """Return the body of a model whose head begins at ``end``.

    Raises:
        ConversionError: No activation, or several, go into the head.
    """
    after = flow.recording.root.end + 1
    found = [value for value in flow.live(end, after) if is_activation(value)]
    if len(found) == 1:
        return Body(flow, end, found[0], rows or Rows(flow.recording))
    raise ConversionError([_headless(flow, found)])


def _headless(flow: Flow, found: Sequence[Value]) -> Fault:
    """Return why there are no features for a head to take."""
    if found:
        made = ", ".join(place_of(value.maker) for value in found if value.maker is not None)
        return Fault(
            "the head",
            f"it takes {len(found)} activations ({made}), and an AL network has one",
            "Name the modules of the head by head=[...], such that one activation flows into the "
            "first of them.",
        )
    what, remedy = _unseen(flow)
    return Fault("the head", what, remedy)


def _unseen(flow: Flow) -> tuple[str, str]:
    """Return why no activation comes out of a model, and what to do."""
    model = flow.recording.model
    if next(model.parameters(), None) is None:
        return (
            "the model holds no parameters at all (a quantised model, or layers in a Python list)",
            "Give the modules to the model as attributes or in an nn.ModuleList; convert a model "
            "before it is quantised.",
        )
    taken = [tensor for call in flow.recording.root.walk() for tensor in call.tensors()]
    loose = [t for t in taken if isinstance(t, nn.Parameter) and id(t) not in flow.state]
    if loose:
        return (
            f"its forward uses weights of shape {list(loose[0].shape)} that no module has "
            "registered (modules in a Python list, for example), so that nothing would train them",
            "Keep modules in an nn.ModuleList, and weights as an nn.Parameter of a module.",
        )
    if any(torch._C._functorch.is_functorch_wrapped_tensor(tensor) for tensor in taken):
        return (
            "a transform of torch.func (vmap, grad) computes on what depends on the data, which "
            "is seen only if a module of its own does it",
            "Move the transform into a module of its own, which then is in one layer as a whole.",
        )
    return (
        "no tensor that depends on both the data and a parameter comes out of the model",
        "Let the model return a tensor, and name the modules of the head by head=[...]. What "
        "NumPy, torch.autograd.grad or other libraries compute is seen only if a module of its "
        "own does it.",
    )


def place_of(call: Call, *, after: bool = False) -> str:
    """Return the name of the module that a call is, or is part of.

    A function that the forward of a taken-apart module calls is named by the module called just
    before it, or just after it.
    """
    if call.module is not None and call.path:
        return call.path
    if call.parent is None:
        return "the model itself"
    beside = [c.path for c in call.parent.children if c.path and (c.begin > call.begin) is after]
    if call.parent.path or not beside:
        return call.parent.place
    return beside[0] if after else beside[-1]

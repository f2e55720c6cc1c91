"""Where a recorded model can be cut into layers, and why not elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torch import nn

from associated_learning.conversion.tracing.call import Call
from associated_learning.conversion.tracing.flow import Flow, Value, is_activation
from associated_learning.errors import ConversionError, Fault

__all__ = [
    "Body",
    "Cut",
    "activation_at",
    "candidates",
    "faults_at",
    "find_body",
    "is_reached",
    "opened",
]


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


class Body(NamedTuple):
    """The part of a model that becomes layers.

    Attributes:
        flow: The model's data flow.
        end: Time at which the head begins, which is dropped.
        features: What the head takes: the last layer's activation.
        spans: Every activation with the time of its last use in the body.
    """

    flow: Flow
    end: int
    features: Value
    spans: tuple[tuple[Value, int], ...]


def find_body(flow: Flow, end: int) -> Body:
    """Return the body of a model whose head begins at ``end``.

    Raises:
        ConversionError: No activation, or several, go into the head.
    """
    after = flow.recording.root.end + 1
    found = [value for value in flow.live(end, after) if is_activation(value)]
    if len(found) == 1:
        spans = ((value, value.last_use(end)) for value in flow.values.values())
        used = ((v, use.time) for v, use in spans if use is not None and is_activation(v))
        return Body(flow, end, found[0], tuple(used))
    raise ConversionError([_headless(found)])


def _headless(found: Sequence[Value]) -> Fault:
    """Return why there are no features for a head to take."""
    made = ", ".join(_place(value.maker) for value in found if value.maker is not None)
    return Fault(
        "the head",
        f"it takes {len(found)} activations ({made}), and an AL network has one"
        if found
        else "no tensor that depends on both the data and a parameter comes out of the model",
        "Name the modules of the head by head=[...], such that one activation flows into the "
        "first of them, or let the model return a tensor.",
    )


def candidates(body: Body, *, anywhere: bool = False) -> list[Cut]:
    """Return every place before the call of a module with weights where a cut has no fault.

    Of several modules that begin with the same activation, the outermost counts. Activation
    functions and lone normalisations stay with what comes before them.

    Args:
        body: What is cut.
        anywhere: Whether normalisations count too, where too few other modules do.
    """
    found: dict[int, Cut] = {}
    for call in body.flow.recording.root.walk():
        if call.module is None or not call.path or call.begin >= body.end:
            continue
        if not call.holds_weights or not (anywhere or _begins_anew(call.module)):
            continue
        time = best_time(body, call)
        s = activation_at(body, time)
        if s is not None and not faults_at(body, call.path, time):
            found.setdefault(id(s.tensor), Cut(call.path, time, s))
    return list(found.values())


def _begins_anew(module: nn.Module) -> bool:
    """Whether a module is no lone normalisation, which belongs to what comes before it."""
    return "Norm" not in type(module).__name__ or next(module.children(), None) is not None


def best_time(body: Body, call: Call) -> int:
    """Return the time of a cut before a call: before what prepares its arguments, if need be.

    In ``x = x + conv(pad(x))`` two activations flow between pad and conv, one before both.
    """
    siblings = call.parent.children if call.parent is not None else []
    before = [sibling for sibling in siblings if sibling.begin < call.begin]
    for earlier in (call, *reversed(before)):
        if earlier is not call and earlier.module is not None:
            break
        if activation_at(body, earlier.begin) is not None:
            return earlier.begin
    return call.begin


def activation_at(body: Body, time: int) -> Value | None:
    """Return the one activation that flows over a place; None if there is none or several."""
    found = _activations(body, time)
    return found[0] if len(found) == 1 else None


def is_reached(body: Body, time: int) -> bool:
    """Whether an activation flows over a place at all: not before the first parameters."""
    return bool(_activations(body, time))


def _activations(body: Body, time: int) -> list[Value]:
    return [value for value, last in body.spans if value.born < time <= last]


def faults_at(body: Body, name: str, time: int) -> list[Fault]:
    """Return all that forbids a cut.

    Args:
        body: What is cut.
        name: What to call the place.
        time: Its time.
    """
    found = [
        *_jumps(body, name, time),
        *_shared(body.flow, name, time, body.end),
        *_updated(body.flow, name, time, body.end),
        *_untrained(body, name, time),
        *_unbatched(body, name, time),
        *_unrepeatable(body.flow, time, body.end),
    ]
    return list(dict.fromkeys(found))


def _jumps(body: Body, name: str, time: int) -> Iterator[Fault]:
    found = _activations(body, time)
    if not found:
        yield Fault(
            name,
            "no activation flows over this cut: nothing before it both holds parameters and "
            "sees the data",
            "Cut later.",
        )
    main = max(found, key=lambda value: value.born, default=None)
    for value in found:
        if value is main:
            continue
        user = value.first_use(time)
        assert value.maker is not None
        assert user is not None
        maker, consumer = _place(value.maker), _place(user.call, after=True)
        shape = list(value.tensor.shape)
        yield Fault(
            name,
            f"a connection jumps over this cut: what {maker} makes, {shape}, is used by {consumer}",
            f"Cut before {maker} or after {consumer}, so that both ends are in one layer.",
        )


def _shared(flow: Flow, name: str, time: int, until: int) -> Iterator[Fault]:
    owners: dict[tuple[str, str], list[str]] = {}
    for key, value in flow.state.items():
        if value.sources and value.crosses(time, until):
            owners.setdefault(_users(value, time), []).append(flow.names[key])
    for (before_name, after_name), names in owners.items():
        weights = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        yield Fault(
            name,
            f"{weights} would belong to the layers on both sides: used by {before_name} before "
            f"this cut and by {after_name} after it (shared or tied weights)",
            "Cut where all uses are on one side, or give each layer a copy of its own "
            "(copy.deepcopy of the module, which unties them).",
        )


def _updated(flow: Flow, name: str, time: int, until: int) -> Iterator[Fault]:
    for key, value in flow.state.items():
        if value.sources or not value.crosses(time, until) or key not in flow.updated:
            continue
        before, after = _users(value, time)
        yield Fault(
            name,
            f"the buffer {flow.names[key]} is updated across this cut: used by {before} before it "
            f"and by {after} after it",
            "Cut where all uses are on one side.",
        )


def _untrained(body: Body, name: str, time: int) -> Iterator[Fault]:
    """What acts only on side inputs below a cut gets no gradient from the loss below it."""
    reached = 0
    for activation in _activations(body, time):
        reached |= activation.sources
    for key, value in body.flow.state.items():
        lost = value.sources & body.features.sources & ~reached
        if reached and lost and value.last_use(time) is not None:
            yield Fault(
                name,
                f"{body.flow.names[key]} is used before this cut, but acts only on what is used "
                "after it, so that no layer would train it",
                "Cut after the first module that uses what it makes.",
            )


def _unbatched(body: Body, name: str, time: int) -> Iterator[Fault]:
    """A bridge answers for each sample, so that samples must be told apart."""
    s = activation_at(body, time)
    batch = next(iter(body.flow.recording.inputs.values())).shape[0]
    if s is not None and batch not in s.tensor.shape:
        yield Fault(
            name,
            f"the activation here, {list(s.tensor.shape)}, has no axis for the {batch} samples of "
            "the example (samples are folded into another axis, windows for example)",
            "Cut before or after the module that folds them.",
        )


def _users(value: Value, time: int) -> tuple[str, str]:
    """Return the names of the modules that use a tensor last before a time and first after it."""
    before, after = value.last_use(time), value.first_use(time)
    assert before is not None
    assert after is not None
    return _place(before.call), _place(after.call)


def _unrepeatable(flow: Flow, time: int, until: int) -> Iterator[Fault]:
    """The modules around a cut are taken apart; what they do themselves must be repeatable."""
    for call in opened(flow.recording.root, [time]):
        place = call.place
        attribute = flow.recording.assigned.get(id(call.target))
        if attribute is not None:
            yield Fault(
                place,
                f"its forward assigns self.{attribute}, which the layers could not share",
                "Cut so that this module is in one layer as a whole, or pass the value on.",
            )
        for found in flow.differences:
            if found.owner is call and found.time < until:
                yield Fault(
                    place,
                    f"its forward {found.what} on batches of two sizes, which does not follow "
                    "from sizes by +, -, *, // and % alone, so that it cannot be taken apart",
                    "Cut so that this module is in one layer as a whole, or move that part into "
                    "a module of its own.",
                )
        for child in call.children:
            if child.begin < until and getattr(child.target, "__name__", "") == "_set_grad_enabled":
                yield Fault(
                    place,
                    "its forward turns gradients off or on (torch.no_grad), which its layers "
                    "would not",
                    "Cut so that this module is in one layer as a whole, or freeze the parameters "
                    "instead (requires_grad_(False)).",
                )
            if child.begin < until and flow.reads_data(child):
                function = getattr(child.target, "__name__", "a function")
                yield Fault(
                    place,
                    "its forward depends on the content of a tensor (data-dependent control flow: "
                    f"{function} makes a Python value of it), so that it cannot be taken apart",
                    "Cut so that this module is in one layer as a whole, or move that part into "
                    "a function marked with al.opaque.",
                )


def opened(call: Call, times: Sequence[int]) -> list[Call]:
    """Return the calls that a cut at one of the times falls into, from ``call`` inwards."""
    if not any(call.begin < time <= call.end for time in times):
        return []
    return [call, *(inner for child in call.children for inner in opened(child, times))]


def _place(call: Call, *, after: bool = False) -> str:
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

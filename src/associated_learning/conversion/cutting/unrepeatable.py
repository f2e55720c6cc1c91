"""What a module's own forward does that layers, made of its parts, could not do again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from associated_learning.conversion.tracing.call import Call, Recording
from associated_learning.conversion.tracing.flow import Flow
from associated_learning.conversion.tracing.guards import expect
from associated_learning.conversion.tracing.record import record
from associated_learning.conversion.tracing.sizes import Arithmetic, Content
from associated_learning.errors import Fault

__all__ = ["Unrepeatable", "unrepeatable"]

_MOVE = "move that part into a module of its own"
_SEEDS = 6  # runs that show whether a forward draws which way it takes


class Unrepeatable(NamedTuple):
    """What a forward does that its parts could not.

    Attributes:
        time: When it does so.
        guarded: Whether the layers would notice it by themselves, on inputs of other sizes.
        fault: What it is.
    """

    time: int
    guarded: bool
    fault: Fault


def unrepeatable(flow: Flow) -> dict[int, list[Unrepeatable]]:
    """Return what the forwards of a run do that cannot be repeated, by the id of their calls."""
    found: dict[int, list[Unrepeatable]] = {}
    for call in flow.recording.root.walk():
        reasons = [*_assigned(flow, call), *_unlike_data(flow, call), *_drawn(flow, call)]
        if reasons:
            found[id(call)] = reasons
    for difference in flow.differences:
        fault = _fault(
            difference.owner,
            f"{difference.what} on batches of two sizes, which does not follow from sizes by "
            "arithmetic alone, so that it cannot be taken apart",
            _MOVE,
        )
        reasons = found.setdefault(id(difference.owner), [])
        reasons.append(Unrepeatable(difference.time, difference.guarded, fault))
    return found


def _fault(call: Call, what: str, otherwise: str) -> Fault:
    """Return the fault that the forward of a call does something, and what would mend it."""
    remedy = f"Cut so that this module is in one layer as a whole, or {otherwise}."
    return Fault(call.place, f"its forward {what}", remedy)


def _assigned(flow: Flow, call: Call) -> Iterator[Unrepeatable]:
    attribute = flow.recording.assigned.get(id(call.target))
    if attribute is not None and call.module is not None:
        what = f"assigns self.{attribute}, which the layers could not share"
        yield Unrepeatable(call.begin, False, _fault(call, what, "pass the value on"))


def _drawn(flow: Flow, call: Call) -> Iterator[Unrepeatable]:
    """Yield the branches that evaluation takes at random; what training draws is tried there."""
    for child in call.children:
        goes_by = _read(child.args[1]) if child.target is expect else ()
        if flow.recording.in_training or not any(map(flow.draws, goes_by)):
            continue
        if _takes_other_ways(flow.recording):
            fault = _fault(
                call,
                "draws at random which way it takes, in evaluation mode, too",
                "turn that off there (layer dropout of 0)",
            )
            yield Unrepeatable(child.begin, False, fault)


def _takes_other_ways(recording: Recording) -> bool:
    """Whether other random numbers let a run go another way: a probability of 0 does not."""
    root = recording.root
    runs = (
        record(recording.model, root.args, root.kwargs, recording.inputs, seed=seed)
        for seed in range(1, _SEEDS)
    )
    return any(_outcomes(run.root) != _outcomes(root) for run in runs)


def _outcomes(root: Call) -> list[str]:
    return [str(call.args[2]) for call in root.walk() if call.target is expect]


def _read(operands: Iterable[Any]) -> Iterator[Call]:
    """Yield the calls that made Python values of tensors, of which operands were computed."""
    for operand in operands:
        origin = getattr(operand, "origin", operand)
        if isinstance(origin, Content):
            yield origin.call
        elif isinstance(origin, Arithmetic):
            yield from _read(origin.operands)


def _unlike_data(flow: Flow, call: Call) -> Iterator[Unrepeatable]:
    for child in call.children:
        function = getattr(child.target, "__name__", "a function")
        if function == "_set_grad_enabled":
            fault = _fault(
                call,
                "turns gradients off or on (torch.no_grad), which its layers would not",
                "freeze the parameters instead (requires_grad_(False))",
            )
            yield Unrepeatable(child.begin, False, fault)
        if child.precision != call.precision:
            what = "turns autocast on or off, which its layers would not"
            yield Unrepeatable(child.begin, False, _fault(call, what, _MOVE))
        if flow.reads_data(child):
            fault = _fault(
                call,
                "depends on the content of a tensor (data-dependent control flow: "
                f"{function} makes a Python value of it), so that it cannot be taken apart",
                "move that part into a function marked with al.opaque",
            )
            yield Unrepeatable(child.begin, False, fault)

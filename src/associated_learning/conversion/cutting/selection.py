"""Which cuts: those that the user names, or those that balance the layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from associated_learning.conversion.cutting.balance import Costs, best_cuts, without_slivers
from associated_learning.conversion.cutting.cuts import (
    Body,
    Cut,
    activation_at,
    best_time,
    candidates,
    faults_at,
    is_reached,
)
from associated_learning.conversion.cutting.head import unknown_module
from associated_learning.conversion.tracing.call import Call
from associated_learning.errors import ConversionError, Fault, InputError

__all__ = ["At", "choose_cuts"]

At = Literal["auto"] | int | Sequence[str] | Mapping[str, Any]
AUTO_LAYERS = 4


def choose_cuts(body: Body, at: At, costs: Costs) -> list[Cut]:
    """Return the cuts between the layers."""
    if at == "auto":
        return _balanced(body, AUTO_LAYERS, costs, exact=False)
    if isinstance(at, str):
        raise InputError(f"at={at!r} came; expected 'auto', a number, or a list: [{at!r}].")
    if isinstance(at, int) and not isinstance(at, bool):
        return _balanced(body, at, costs, exact=True)
    if not isinstance(at, Iterable):
        raise InputError(f"at={at!r} came; expected 'auto', a number of layers, or names.")
    return _named(body, at)


def _balanced(body: Body, num_layers: int, costs: Costs, *, exact: bool) -> list[Cut]:
    if num_layers < 2:
        raise InputError(
            f"{num_layers} layers came; expected two or more: with one layer there is nothing to "
            "train in isolation."
        )
    cuts = best_cuts(body, candidates(body), costs, num_layers)
    if not cuts or (exact and len(cuts) < num_layers - 1):
        cuts = best_cuts(body, candidates(body, anywhere=True), costs, num_layers)
    if not cuts or (exact and len(cuts) < num_layers - 1):
        raise ConversionError(_why_not(body, num_layers, len(cuts) + 1))
    return cuts if exact else without_slivers(body, cuts, costs)


def _why_not(body: Body, wanted: int, possible: int) -> list[Fault]:
    """Return why there are not enough cuts: what forbids them at the shallowest modules."""
    faults = [
        Fault(
            "the model itself",
            f"it can be cut into {possible} layer{'s' * (possible > 1)}, {wanted} were asked for",
            "Ask for fewer, or change the model as the other reasons say.",
        )
    ]
    for call in body.flow.recording.root.walk():
        if call.module is None or call.path.count(".") > 1 or not call.path:
            continue
        if call.begin < body.end and is_reached(body, call.begin):
            found = faults_at(body, call.path, best_time(body, call))
            faults += [fault for fault in found if fault not in faults]
    return faults[:12]


def _named(body: Body, at: Sequence[str] | Mapping[str, Any]) -> list[Cut]:
    sides = dict(at.items()) if isinstance(at, Mapping) else dict.fromkeys(at, "beginning")
    if not sides:
        raise InputError("no names came to cut at; expected at least one: one layer is no network.")
    calls = body.flow.recording.by_path()
    wrong = [name for name in sides if not isinstance(name, str)]
    if wrong:
        raise InputError(f"at={list(sides)!r} came; expected names of modules, such as '2'.")
    unknown = [unknown_module(name, calls) for name in sides if name not in calls]
    if unknown:
        raise InputError(" ".join(unknown))
    times = [_time(body, calls[name], side) for name, side in sides.items()]
    faults = _order_faults(list(sides), times, body.end)
    for name, time in zip(sides, times, strict=True):
        faults += [fault for fault in faults_at(body, name, time) if fault not in faults]
    if faults:
        raise ConversionError(faults)
    return [
        Cut(name, time, s)
        for name, time in zip(sides, times, strict=True)
        if (s := activation_at(body, time)) is not None
    ]


def _time(body: Body, call: Call, side: Any) -> int:
    name = getattr(side, "name", str(side)).lower()  # also an enum, such as SplitPoint.END
    if name not in ("beginning", "end"):
        raise InputError(f"{call.path}: {side!r} came; expected 'beginning' or 'end'.")
    return best_time(body, call) if name == "beginning" else call.end + 1


def _order_faults(names: list[str], times: list[int], end: int) -> list[Fault]:
    faults = []
    for (a, first), (b, second) in zip(
        zip(names, times, strict=True), zip(names[1:], times[1:], strict=True), strict=False
    ):
        if second <= first:
            faults.append(
                Fault(b, f"it runs before {a}, but was named after it", "Name them in order.")
            )
    for name, time in zip(names, times, strict=True):
        if time >= end:
            faults.append(
                Fault(
                    name,
                    "it is part of the head, which is dropped",
                    "Cut below it, or say by head= which modules are the head.",
                )
            )
    return faults

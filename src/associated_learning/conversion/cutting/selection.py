"""Which cuts: those that the user names, or those that balance the layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from associated_learning.conversion.cutting.balance import Costs, best_cuts, without_slivers
from associated_learning.conversion.cutting.body import Body, Cut
from associated_learning.conversion.cutting.candidates import best_time, candidates
from associated_learning.conversion.cutting.faults import faults_at, head_faults
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
    cuts: list[Cut] = []
    # first where no size is held to the example's, and lone normalisations stay where they are
    for any_size, anywhere in ((True, False), (True, True), (False, False), (False, True)):
        found = candidates(body, any_size=any_size, anywhere=anywhere)
        cuts = best_cuts(body, found, costs, num_layers)
        if cuts and (not exact or len(cuts) == num_layers - 1):
            if head_faults(body):
                raise ConversionError(head_faults(body))
            return cuts if exact else without_slivers(body, cuts, costs)
    raise ConversionError(_why_not(body, None if not exact else num_layers, len(cuts) + 1))


def _why_not(body: Body, wanted: int | None, possible: int) -> list[Fault]:
    """Return why there are not enough cuts: what forbids them at the shallowest modules."""
    faults: list[Fault] = []
    for call in body.flow.recording.root.walk():
        if call.module is None or call.path.count(".") > 1 or not call.path:
            continue
        if call.begin < body.end and body.is_reached(call.begin):
            found = faults_at(body, call.path, best_time(body, call), any_size=False)
            faults += [fault for fault in found if fault not in faults]
    return [_too_few(wanted, possible, others=bool(faults)), *faults[:11]]


def _too_few(wanted: int | None, possible: int, *, others: bool) -> Fault:
    asked = "at least two are needed" if wanted is None else f"{wanted} were asked for"
    remedy = "Ask for fewer, or change" if wanted is not None and possible > 1 else "Change"
    return Fault(
        "the model itself",
        f"it can be cut into {possible} layer{'s' * (possible > 1)}, {asked}",
        f"{remedy} the model as the other reasons say."
        if others
        else "A layer begins before a module with parameters, after another that sees the data: "
        "put what should be a layer into a module of its own, or ask for fewer layers.",
    )


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
    faults = [*_order_faults(list(sides), times, body.end), *head_faults(body)]
    for name, time in zip(sides, times, strict=True):
        faults += [fault for fault in faults_at(body, name, time) if fault not in faults]
    if faults:
        raise ConversionError(faults)
    return [
        Cut(name, time, s)
        for name, time in zip(sides, times, strict=True)
        if (s := body.activation(time)) is not None
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

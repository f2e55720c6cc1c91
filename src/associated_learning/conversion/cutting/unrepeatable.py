"""What a module's own forward does that layers, made of its parts, could not do again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from associated_learning.conversion.tracing.call import Call
from associated_learning.conversion.tracing.flow import Flow
from associated_learning.errors import Fault

__all__ = ["Unrepeatable", "unrepeatable"]


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
        reasons = [*_assigned(flow, call), *_unlike_data(flow, call)]
        if reasons:
            found[id(call)] = reasons
    for difference in flow.differences:
        fault = Fault(
            difference.owner.place,
            f"its forward {difference.what} on batches of two sizes, which does not follow from "
            "sizes by arithmetic alone, so that it cannot be taken apart",
            "Cut so that this module is in one layer as a whole, or move that part into a module "
            "of its own.",
        )
        reasons = found.setdefault(id(difference.owner), [])
        reasons.append(Unrepeatable(difference.time, difference.guarded, fault))
    return found


def _assigned(flow: Flow, call: Call) -> Iterator[Unrepeatable]:
    attribute = flow.recording.assigned.get(id(call.target))
    if attribute is not None and call.module is not None:
        fault = Fault(
            call.place,
            f"its forward assigns self.{attribute}, which the layers could not share",
            "Cut so that this module is in one layer as a whole, or pass the value on.",
        )
        yield Unrepeatable(call.begin, False, fault)


def _unlike_data(flow: Flow, call: Call) -> Iterator[Unrepeatable]:
    for child in call.children:
        function = getattr(child.target, "__name__", "a function")
        if function == "_set_grad_enabled":
            fault = Fault(
                call.place,
                "its forward turns gradients off or on (torch.no_grad), which its layers would not",
                "Cut so that this module is in one layer as a whole, or freeze the parameters "
                "instead (requires_grad_(False)).",
            )
            yield Unrepeatable(child.begin, False, fault)
        if flow.reads_data(child):
            fault = Fault(
                call.place,
                "its forward depends on the content of a tensor (data-dependent control flow: "
                f"{function} makes a Python value of it), so that it cannot be taken apart",
                "Cut so that this module is in one layer as a whole, or move that part into "
                "a function marked with al.opaque.",
            )
            yield Unrepeatable(child.begin, False, fault)

"""What in a run depends on sizes in a way that layers cannot repeat: a run on another size."""

from __future__ import annotations

import itertools
import math
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from associated_learning.conversion.tracing.arguments import Arguments
from associated_learning.conversion.tracing.call import Call, Recording
from associated_learning.conversion.tracing.guards import expect, same
from associated_learning.conversion.tracing.record import record
from associated_learning.conversion.tracing.sizes import is_traced

__all__ = [
    "Difference",
    "attributes_kept",
    "buffers_kept",
    "differences",
    "record_fewer",
    "record_shorter",
]

# By the number of axes of the data: which could be positions, that a model may take fewer of.
_POSITIONS: dict[int, list[tuple[int, ...]]] = {
    2: [(1,)], 3: [(1,), (2,)], 4: [(2, 3)], 5: [(3, 4), (1,), (2,)]
}  # fmt: skip


_MANY = 65_536  # numbers of an example of which twice as many take too long


class Difference(NamedTuple):
    """A call in which two runs on batches of two sizes differ.

    Attributes:
        owner: The call that made it: of the module whose forward is to blame.
        time: When it was made.
        what: How they differ.
        guarded: Whether the layers notice it, because a guard of the forward fails.
    """

    owner: Call
    time: int
    what: str
    guarded: bool = False


def record_fewer(model: nn.Module, arguments: Arguments, inputs: Mapping[str, Tensor]) -> Recording:
    """Run a model on two samples of the example; on one, if it has two."""
    fewer = arguments.fewer(inputs, min(2, arguments.count(inputs) - 1))
    args, kwargs = arguments.call(fewer)
    return record(model, args, kwargs, fewer)


def record_shorter(
    model: nn.Module, arguments: Arguments, inputs: Mapping[str, Tensor]
) -> Recording | None:
    """Run a model on another number of positions: on the first that it takes of a few.

    On half of them, on three quarters, and on twice as many if that is soon done; None if it takes
    none of these.
    """
    data = inputs[arguments.names[0]]
    shares = (0.5, 0.75) if data.numel() > _MANY else (0.5, 0.75, 2.0)
    for share, axes in itertools.product(shares, _POSITIONS.get(data.dim(), [])):
        batch = _resized(inputs, data, axes, share)
        args, kwargs = arguments.call(batch)
        try:
            with warnings.catch_warnings(), attributes_kept(model):
                warnings.simplefilter("ignore")
                return record(model, args, kwargs, batch)
        except Exception:  # it does not take this size, for whatever reason
            continue
    return None


@contextmanager
def attributes_kept(model: nn.Module) -> Iterator[None]:
    """Restore what modules assign when they run: Swin's windows shrink to the images they see."""
    modules = [m for m in model.modules() if not isinstance(m, torch.jit.ScriptModule)]
    kept = [(vars(m), dict(vars(m)), dict(m._buffers)) for m in modules]
    try:
        yield
    finally:
        for now, before, buffers in kept:
            now.clear()
            now.update(before)
            now["_buffers"].clear()
            now["_buffers"].update(buffers)


@contextmanager
def uncompiled() -> Iterator[None]:
    """Run compiled modules as they were written: a compiler cannot look through a recording."""
    if "torch._dynamo" not in sys.modules:  # nothing has been compiled, and importing it takes long
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


@contextmanager
def buffers_kept(model: nn.Module) -> Iterator[None]:
    """Restore what modules write into their buffers when they run, and what they assign."""
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    try:
        with attributes_kept(model):
            yield
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)


def _resized(
    inputs: Mapping[str, Tensor], data: Tensor, axes: tuple[int, ...], share: float
) -> dict[str, Tensor]:
    """Return the inputs with other numbers of positions on the data's axes, masks along with it."""
    batch = dict(inputs)
    for axis in axes:
        size = data.shape[axis]
        index = torch.arange(math.ceil(size * share), device=data.device) % size
        for name, value in batch.items():
            if value.dim() > axis and value.shape[axis] == size:
                batch[name] = value.index_select(axis, index)
    return batch


def differences(call: Call, other: Call) -> Iterator[Difference]:
    """Yield what two runs do differently beyond tensors and sizes whose origin is known.

    Of several differences within one forward, the first comes.
    """
    known = False
    for child, twin in itertools.zip_longest(call.children, other.children):
        time = call.end if child is None else child.begin
        if child is None or twin is None or child.target != twin.target:
            if not known:
                made = " and ".join(_callee(c, "nothing") for c in (child, twin))
                yield Difference(call, time, f"makes other calls ({made})")
            return
        if child.target is expect and not same(child.args[2], twin.args[2]):
            if not known:
                yield Difference(call, time, _goes_by(child, twin), guarded=True)
            return  # what comes after it differs because of it
        passed = None if known else _passed_differently(child, twin)
        if passed is not None:
            known = True
            numbers = f"passes {passed[0]} and {passed[1]}"
            yield Difference(call, time, f"{numbers} to {_callee(child)}")
        yield from differences(child, twin)


def _goes_by(child: Call, twin: Call) -> str:
    name = getattr(child.args[0], "__name__", "a comparison")
    one, other = (_brief(call.args[2]) for call in (child, twin))
    return f"goes by {name} of a size, which is {one} and {other},"


def _brief(value: Any) -> str:
    return repr(value) if isinstance(value, (int, float, str)) else f"a {type(value).__name__}"


def _callee(call: Call | None, nothing: str = "") -> str:
    return nothing if call is None else call.path or getattr(call.target, "__name__", "a function")


def _passed_differently(call: Call, other: Call) -> tuple[Any, Any] | None:
    """Return the first two plain numbers among the arguments that differ."""
    values = itertools.zip_longest(
        _numbers((call.args, call.kwargs)), _numbers((other.args, other.kwargs))
    )
    for a, b in values:
        if a != b and not (is_traced(a) and is_traced(b)):
            return a, b
    return None


def _numbers(structure: Any) -> Iterator[int | float | None]:
    if isinstance(structure, (int, float)):
        yield None if structure != structure else structure
    elif isinstance(structure, Mapping):
        yield from _numbers(list(structure.values()))
    elif isinstance(structure, (tuple, list)):
        for part in structure:
            yield from _numbers(part)
    elif isinstance(structure, slice):
        yield from _numbers((structure.start, structure.stop, structure.step))

"""What in a run depends on sizes in a way that layers cannot repeat: a run on another size."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn

from associated_learning.conversion.tracing.arguments import Arguments
from associated_learning.conversion.tracing.call import Call, Recording
from associated_learning.conversion.tracing.record import record
from associated_learning.conversion.tracing.sizes import TracedInt

__all__ = ["Difference", "attributes_kept", "differences", "record_smaller"]

# By the number of axes of the data: which could be positions, that a model may take fewer of.
_POSITIONS: dict[int, list[tuple[int, ...]]] = {
    2: [(1,)], 3: [(1,), (2,)], 4: [(2, 3)], 5: [(3, 4), (1,), (2,)]
}  # fmt: skip


class Difference(NamedTuple):
    """A call in which two runs on batches of two sizes differ.

    Attributes:
        owner: The call that made it: of the module whose forward is to blame.
        time: When it was made.
        what: How they differ.
    """

    owner: Call
    time: int
    what: str


def record_smaller(
    model: nn.Module, arguments: Arguments, inputs: Mapping[str, Tensor]
) -> Recording:
    """Run a model on two samples (of two, on one) with fewer positions, if it takes fewer.

    Args:
        model: The model; it runs on the inputs.
        arguments: How a batch becomes its arguments.
        inputs: The example.
    """
    fewer = arguments.fewer(inputs, min(2, arguments.count(inputs) - 1))
    for axes in _POSITIONS.get(inputs[arguments.names[0]].dim(), []):
        batch = _halved(fewer, fewer[arguments.names[0]], axes)
        args, kwargs = arguments.call(batch)
        try:
            with warnings.catch_warnings(), attributes_kept(model):
                warnings.simplefilter("ignore")
                return record(model, args, kwargs, batch)
        except Exception:  # it does not take this size, for whatever reason
            continue
    args, kwargs = arguments.call(fewer)
    return record(model, args, kwargs, fewer)


@contextmanager
def attributes_kept(model: nn.Module) -> Iterator[None]:
    """Restore what modules assign when they run: Swin's windows shrink to the images they see."""
    kept = [(vars(m), dict(vars(m)), dict(m._buffers)) for m in model.modules()]
    try:
        yield
    finally:
        for now, before, buffers in kept:
            now.clear()
            now.update(before)
            now["_buffers"].clear()
            now["_buffers"].update(buffers)


def _halved(inputs: Mapping[str, Tensor], data: Tensor, axes: tuple[int, ...]) -> dict[str, Tensor]:
    """Return the inputs with half the positions on these axes of the data, masks along with it."""
    batch = dict(inputs)
    for axis in axes:
        for name, value in batch.items():
            if value.dim() > axis and value.shape[axis] == data.shape[axis]:
                batch[name] = value.narrow(axis, 0, (data.shape[axis] + 1) // 2)
    return batch


def differences(call: Call, other: Call) -> Iterator[Difference]:
    """Yield what two runs do differently beyond tensors and sizes whose origin is known.

    Of several differences within one forward, the first comes.

    Args:
        call: A call of the run that is converted.
        other: The same in the run on the smaller batch.
    """
    known = False
    for child, twin in itertools.zip_longest(call.children, other.children):
        time = call.end if child is None else child.begin
        if child is None or twin is None or child.target != twin.target:
            if not known:
                made = " and ".join(_callee(c, "nothing") for c in (child, twin))
                yield Difference(call, time, f"makes other calls ({made})")
            return
        passed = None if known else _passed_differently(child, twin)
        if passed is not None:
            known = True
            numbers = f"passes {passed[0]} and {passed[1]}"
            yield Difference(call, time, f"{numbers} to {_callee(child)}")
        yield from differences(child, twin)


def _callee(call: Call | None, nothing: str = "") -> str:
    return nothing if call is None else call.path or getattr(call.target, "__name__", "a function")


def _passed_differently(call: Call, other: Call) -> tuple[Any, Any] | None:
    """Return the first two plain numbers among the arguments that differ."""
    values = itertools.zip_longest(
        _numbers((call.args, call.kwargs)), _numbers((other.args, other.kwargs))
    )
    for a, b in values:
        if a != b and not (isinstance(a, TracedInt) and isinstance(b, TracedInt)):
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

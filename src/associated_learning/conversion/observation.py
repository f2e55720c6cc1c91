"""What is seen of a model before it is cut: its runs on the example and on variants of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from associated_learning.conversion.cutting.balance import Balance
from associated_learning.conversion.cutting.body import Body, find_body
from associated_learning.conversion.cutting.faults import head_faults
from associated_learning.conversion.cutting.head import Head, answering_map, head_begins
from associated_learning.conversion.slicing.equality import check_seen
from associated_learning.conversion.tracing.arguments import Arguments
from associated_learning.conversion.tracing.call import Recording
from associated_learning.conversion.tracing.flow import Flow
from associated_learning.conversion.tracing.record import record, same_draws
from associated_learning.conversion.tracing.resizing import (
    differences,
    record_fewer,
    record_shorter,
)
from associated_learning.conversion.tracing.rows import Rows, other_order
from associated_learning.errors import InputError
from associated_learning.tensors.modes import evaluating, unfused_attention

__all__ = ["Observation", "RunError", "body_below", "initialise_lazy", "observe"]


class RunError(InputError):
    """A model does not run on an example."""


class Observation(NamedTuple):
    """A model's runs.

    Attributes:
        recording: On the example.
        fewer: On fewer samples.
        shorter: On another number of positions, mostly fewer, if the model takes one.
        flow: What flows where in the first.
        rows: Which axes hold the samples.
    """

    recording: Recording
    fewer: Recording
    shorter: Recording | None
    flow: Flow
    rows: Rows


def observe(
    model: nn.Module,
    arguments: Arguments,
    inputs: dict[str, Tensor],
    balance: Balance,
) -> Observation:
    """Run a model on the example and on variants of it.

    Raises:
        ConversionError: The model does something else when it is looked at.
        RunError: It does not run on the example.
    """
    recording = _record(model, arguments, inputs, balance)
    fewer = _fewer(model, arguments, inputs)
    shorter = record_shorter(model, arguments, inputs)
    # other numbers of samples come in every training, so that no guard may hold them
    different = [d._replace(guarded=False) for d in differences(recording.root, fewer.root)]
    if shorter is not None:
        different += differences(recording.root, shorter.root)
    flow = Flow(recording, arguments.data(inputs), different)
    return Observation(recording, fewer, shorter, flow, _rows(recording, arguments))


def initialise_lazy(model: nn.Module, arguments: Arguments, inputs: dict[str, Tensor]) -> None:
    """Run a model once, if parameters or buffers of it have no size yet.

    Raises:
        RunError: It does not run on the example.
    """
    if any(map(is_lazy, (*model.parameters(), *model.buffers()))):
        _run(model, arguments, inputs)


def body_below(head: Head, seen: Observation, positions: int = 0) -> tuple[Body, Head]:
    """Return the part of a model below its head, and what the head is.

    Where the head was not named, and is part of a module that cannot be taken apart, the whole of
    that module is the head.
    """
    root = seen.recording.root
    if head == "auto" and positions and head_begins(seen.recording, head) == root.end:
        head = answering_map(root, positions) or head
    body = find_body(seen.flow, head_begins(seen.recording, head), seen.rows)
    inside = [call for call in body.opening.opened([body.end]) if call is not root]
    if head == "auto" and inside and head_faults(body):
        outer = find_body(seen.flow, inside[0].begin, seen.rows)
        if not head_faults(outer):
            return outer, [inside[0].path]
    return body, head


def _record(
    model: nn.Module,
    arguments: Arguments,
    inputs: dict[str, Tensor],
    balance: Balance,
) -> Recording:
    """Run the model, after a first run that warms it up and shows whether it runs at all."""
    example = {n: _with_padding(v, arguments.masks.get(n)) for n, v in inputs.items()}
    args, kwargs = arguments.call(example)
    came = {n: v.clone() for n, v in example.items() if not v.is_meta}
    plain = _run(model, arguments, example)
    recording = record(model, args, kwargs, example)
    check_seen(
        plain,
        recording,
        written=[n for n, v in came.items() if not torch.equal(v, example[n])],
        again=lambda: _run(model, arguments, example),
    )
    if balance == "time":
        _measure_again(recording, lambda: record(model, args, kwargs, example))
    if balance == "flops":
        _count_flops(recording, lambda: record(model, args, kwargs, example, count_flops=True))
    return recording


def _run(model: nn.Module, arguments: Arguments, inputs: dict[str, Tensor]) -> Any:
    args, kwargs = arguments.call(inputs)
    with evaluating(model), same_draws():
        try:
            return model(*args, **kwargs)
        except Exception as error:  # whatever the user's own forward raises
            shapes = ", ".join(f"{n} {list(v.shape)} {v.dtype}" for n, v in inputs.items())
            raise RunError(
                f"{type(model).__name__} fails on the example ({shapes}): {error}"
            ) from error


def _measure_again(recording: Recording, again: Callable[[], Recording]) -> None:
    """Take the least of several times of every call, for at most a sixth of a second."""
    seconds = sum(call.seconds for call in recording.root.walk())
    for _ in range(min(4, int(0.15 / seconds) if seconds else 0)):
        calls = zip(recording.root.walk(), again().root.walk(), strict=False)
        for call, other in calls:
            call.seconds = min(call.seconds, other.seconds)


def _count_flops(recording: Recording, again: Callable[[], Recording]) -> None:
    """Note every call's floating-point operations, without fused kernels: those are not counted."""
    with unfused_attention():
        counted = again()
    for call, other in zip(recording.root.walk(), counted.root.walk(), strict=False):
        call.flops = other.flops


def _with_padding(value: Tensor, keeps: bool | None) -> Tensor:
    """Let a mask that keeps everything leave out one position: models skip such masks.

    Args:
        value: An input.
        keeps: Whether it is true at real positions; None if it is no mask.
    """
    if keeps is None or value.dim() != 2 or value.shape[1] < 2 or value.is_meta:
        return value
    if not bool((value.bool() == keeps).all()):
        return value
    padded = value.clone()
    padded[0, -1] = not keeps
    return padded


def _fewer(model: nn.Module, arguments: Arguments, inputs: dict[str, Tensor]) -> Recording:
    try:
        return record_fewer(model, arguments, inputs)
    except Exception as error:  # whatever the user's own forward raises
        raise InputError(
            f"{type(model).__name__} runs on the example, but not on its first rows alone "
            f"({error}): rows of the first axis are no samples (nodes of a graph, tokens of many "
            "texts), or need each other: say so by al.Example(x, linked=True)."
        ) from error


def _rows(recording: Recording, arguments: Arguments) -> Rows:
    """Run the model on the samples in another order."""
    if arguments.linked:
        return Rows(recording)
    order = other_order(arguments.count(recording.inputs))
    rows = arguments.rows(recording.inputs)
    batch = {n: value[order] if n in rows else value for n, value in recording.inputs.items()}
    args, kwargs = arguments.call(batch)
    try:
        return Rows(recording, record(recording.model, args, kwargs, batch))
    except Exception:  # what the model's forward raises on samples in another order
        return Rows(recording)

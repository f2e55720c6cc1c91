"""How a model becomes an AL network: found by one run of it on an example (Algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from typing_extensions import Unpack

from associated_learning.conversion.cutting.balance import Balance, Costs
from associated_learning.conversion.cutting.cuts import Cut, find_body
from associated_learning.conversion.cutting.head import Head, head_begins
from associated_learning.conversion.cutting.selection import At, choose_cuts
from associated_learning.conversion.options import ALKeywords, ALOptions, flat, with_keywords
from associated_learning.conversion.plan import Plan, make_plan
from associated_learning.conversion.slicing.equality import (
    check_seen,
    features,
    recorded_features,
    same_streams,
)
from associated_learning.conversion.slicing.pickling import allow_pickling
from associated_learning.conversion.slicing.script import Script
from associated_learning.conversion.slicing.slice import Slice
from associated_learning.conversion.slicing.slicing import make_slices
from associated_learning.conversion.tracing.arguments import KEEP_MASKS, Arguments
from associated_learning.conversion.tracing.call import Recording
from associated_learning.conversion.tracing.flow import Flow
from associated_learning.conversion.tracing.record import record
from associated_learning.conversion.tracing.resizing import (
    attributes_kept,
    differences,
    record_smaller,
)
from associated_learning.errors import ConversionError, InputError
from associated_learning.network import Network
from associated_learning.tensors.batch_checks import check_finite
from associated_learning.tensors.devices import device_of
from associated_learning.tensors.modes import evaluating

__all__ = ["make_encoders", "plan"]

MOST_SAMPLES = 4


@flat
def plan(
    model: nn.Module,
    example_inputs: Any,
    *,
    at: At = "auto",
    balance: Balance = "time",
    head: Head = "auto",
    options: ALOptions | None = None,
    **keywords: Unpack[ALKeywords],
) -> Plan:
    """Look at how a model would be cut into layers, without converting it.

    Args:
        model: Any module. It is run on the example, in evaluation mode and without gradients.
        example_inputs: A batch of at least two samples as the model takes it: a tensor, a tuple
            of positional arguments, a mapping of keyword arguments, or a `PaddedSequence`.
        at: Names of submodules before each of which a new layer begins (the naming of
            ``torch.distributed.pipelining``'s split spec; a mapping from names to "beginning" or
            "end" is taken too); or a number of layers; or "auto", for four or as many as can be.
        balance: What a number of layers, or "auto", balances: measured "time", "parameters" or
            "flops".
        head: Names of the modules of the old classifier, which is dropped; None if the model has
            none; "auto" finds it.
        options: As `convert` takes them: readouts, latents and bridges are shown, the others
            change no plan.
        keywords: Any field of `ALOptions`; see `convert`.

    Raises:
        ConversionError: The model cannot be cut there; it holds all reasons.
        InputError: The model does not run on the example, or an argument does not fit.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> model = nn.Sequential(
        ...     nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)
        ... )
        >>> plan = al.plan(model, torch.randn(2, 4), at=["2"])
        >>> [layer.modules for layer in plan.layers], plan.dropped
        ([('0', '1'), ('2', '3')], ('4',))
    """
    options = with_keywords(options, keywords, plan)
    found, _, _ = make_encoders(
        model, example_inputs, at=at, balance=balance, head=head, options=options
    )
    return found


def make_encoders(
    model: nn.Module,
    example_inputs: Any,
    *,
    at: At,
    balance: Balance,
    head: Head,
    options: ALOptions,
) -> tuple[Plan, list[Slice], Arguments]:
    """Return the plan, the encoders, and how a batch becomes the model's arguments."""
    _check_model(model)
    arguments = Arguments.of(model, example_inputs)
    inputs = _example(model, arguments, example_inputs)
    if balance == "time" and any(value.is_meta for value in inputs.values()):
        balance = "flops"  # nothing is computed there, so that nothing takes time
    recording = _record(model, arguments, inputs, balance)
    smaller = record_smaller(model, arguments, inputs)
    different = differences(recording.root, smaller.root)
    flow = Flow(recording, arguments.data(inputs), different)
    body = find_body(flow, head_begins(recording, head))
    costs = Costs(body, balance)
    cuts = [*choose_cuts(body, at, costs), Cut("the head", body.end, body.features)]
    script = Script(flow, [cut.time for cut in cuts])
    if script.faults:
        raise ConversionError(script.faults)
    allow_pickling(model)
    slices = make_slices(script, cuts, arguments)
    # law 5, checked at every conversion; on other batches too, for what depends on their size
    fewer = arguments.fewer(inputs, min(2, arguments.count(inputs) - 1))
    streams = same_streams(slices, recording.inputs, body.features.tensor)
    with attributes_kept(model):
        same_streams(slices, smaller.inputs, recorded_features(smaller, arguments, head))
    others = same_streams(slices, fewer, features(model, arguments, fewer, head))
    plan = make_plan(script, cuts, slices, costs, options, streams, others)
    return plan, slices, arguments


def _check_model(model: Any) -> None:
    if not isinstance(model, nn.Module):
        raise InputError(f"{model!r} came; expected a model, an object of a class of nn.Module.")
    inner = "module" if isinstance(model, nn.DataParallel) else "_orig_mod"
    if isinstance(model, nn.DataParallel) or hasattr(model, inner):
        raise InputError(
            f"a {type(model).__name__} came, which wraps a model; convert model.{inner} instead."
        )
    if isinstance(model, Network) or any(isinstance(part, Slice) for part in model.modules()):
        raise InputError(
            f"a {type(model).__name__} came, which is in AL form already; convert the model that "
            "it was made of (net.backbone())."
        )


def _example(model: nn.Module, arguments: Arguments, x: Any) -> dict[str, Tensor]:
    """Return the first samples of the example by name: enough to see shapes and to take times."""
    inputs = arguments.bind(x)
    check_finite(inputs, "example")
    device = device_of(model)
    elsewhere = [name for name, value in inputs.items() if value.device != device]
    if elsewhere:
        raise InputError(
            f"the example's {', '.join(elsewhere)} came on {inputs[elsewhere[0]].device}, the "
            f"model is on {device}; move the example there: x.to({str(device)!r})."
        )
    count = arguments.count(inputs)
    if count < 2:
        raise InputError(
            f"an example of {count} samples came; expected a batch of two or more, which tells "
            "the batch apart from the other axes."
        )
    return arguments.fewer(inputs, MOST_SAMPLES)


def _record(
    model: nn.Module, arguments: Arguments, inputs: dict[str, Tensor], balance: Balance
) -> Recording:
    """Run the model, after a first run that warms it up and shows whether it runs at all."""
    example = {name: _with_padding(name, value) for name, value in inputs.items()}
    args, kwargs = arguments.call(example)
    with evaluating(model):
        try:
            plain = model(*args, **kwargs)
        except Exception as error:  # whatever the user's own forward raises
            shapes = ", ".join(f"{n} {list(v.shape)} {v.dtype}" for n, v in inputs.items())
            raise InputError(
                f"{type(model).__name__} fails on the example ({shapes}): {error}"
            ) from error
    recording = record(model, args, kwargs, example)
    check_seen(plain, recording)
    if balance == "time":
        _measure_again(recording, lambda: record(model, args, kwargs, example))
    if balance == "flops":
        _count_flops(recording, lambda: record(model, args, kwargs, example, count_flops=True))
    return recording


def _measure_again(recording: Recording, again: Callable[[], Recording]) -> None:
    """Take the least of several times of every call, for at most a third of a second."""
    seconds = sum(call.seconds for call in recording.root.walk())
    for _ in range(min(4, int(0.3 / seconds) if seconds else 0)):
        calls = zip(recording.root.walk(), again().root.walk(), strict=False)
        for call, other in calls:
            call.seconds = min(call.seconds, other.seconds)


def _count_flops(recording: Recording, again: Callable[[], Recording]) -> None:
    """Note every call's floating-point operations, without fused kernels: those are not counted."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            counted = again()
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    for call, other in zip(recording.root.walk(), counted.root.walk(), strict=False):
        call.flops = other.flops


def _with_padding(name: str, value: Tensor) -> Tensor:
    """Let a mask that keeps everything leave out one position: models skip masks of ones."""
    if name not in KEEP_MASKS or value.dim() != 2 or value.shape[1] < 2 or value.is_meta:
        return value
    if not bool(value.bool().all()):
        return value
    padded = value.clone()
    padded[0, -1] = 0
    return padded

"""How a model becomes an AL network: found by one run of it on an example (Algorithm 1)."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, nn
from typing_extensions import Unpack

from associated_learning.conversion.checks.conversion import Level, check_conversion, check_level
from associated_learning.conversion.checks.subject import Subject
from associated_learning.conversion.cutting.balance import Balance, Costs
from associated_learning.conversion.cutting.body import Cut
from associated_learning.conversion.cutting.head import Head
from associated_learning.conversion.cutting.selection import At, choose_cuts
from associated_learning.conversion.example import Example
from associated_learning.conversion.observation import RunError, body_below, observe
from associated_learning.conversion.options import ALKeywords, ALOptions, flat, with_keywords
from associated_learning.conversion.plan import Plan, make_plan
from associated_learning.conversion.slicing.either_mode import training_programs
from associated_learning.conversion.slicing.equality import recorded_features, same_streams
from associated_learning.conversion.slicing.pickling import allow_pickling
from associated_learning.conversion.slicing.script import Script
from associated_learning.conversion.slicing.slice import Slice, Stream
from associated_learning.conversion.slicing.slicing import make_programs, make_slices
from associated_learning.conversion.tracing.arguments import Arguments
from associated_learning.conversion.tracing.call import Recording
from associated_learning.conversion.tracing.guards import GuardError
from associated_learning.conversion.tracing.masks import read_inputs
from associated_learning.conversion.tracing.resizing import (
    attributes_kept,
    buffers_kept,
    uncompiled,
)
from associated_learning.errors import ConversionError, InputError
from associated_learning.network import Network
from associated_learning.tensors.batch_checks import check_finite
from associated_learning.tensors.devices import device_of
from associated_learning.tensors.modes import evaluating

__all__ = ["SAMPLES", "Source", "make_encoders", "plan"]

SAMPLES = 4


class Source(NamedTuple):
    """Where a network came from; a tuple, so that the model is no submodule of the network.

    Attributes:
        model: The model, whose parameters are the layers' already.
        arguments: How a batch becomes its arguments.
        head: Where its features end.
    """

    model: nn.Module
    arguments: Arguments
    head: Head


@flat
def plan(
    model: nn.Module,
    example_inputs: Any,
    *,
    at: At = "auto",
    balance: Balance = "time",
    head: Head = "auto",
    samples: int | None = SAMPLES,
    check: Level = "quick",
    options: ALOptions | None = None,
    **keywords: Unpack[ALKeywords],
) -> Plan:
    """Look at how a model would be cut into layers, without converting it.

    Args:
        model: Any module. It is run on the example, in evaluation mode and without gradients.
        example_inputs: A batch of at least two samples as the model takes it: a tensor, a tuple
            of positional arguments, a mapping of keyword arguments, or a `PaddedSequence`; or an
            `Example` around one of these, which says what cannot be seen in it.
        at: Names of submodules before each of which a new layer begins (the naming of
            ``torch.distributed.pipelining``'s split spec; a mapping from names to "beginning" or
            "end" is taken too); or a number of layers; or "auto", for four or as many as can be.
        balance: What a number of layers, or "auto", balances: measured "time", "parameters" or
            "flops".
        head: Names of the modules of the old classifier, which is dropped; None if the model has
            none; "auto" finds it.
        samples: How many samples of the example are looked at; None for all. Rows that are no
            samples, such as a graph's nodes, are not left out: ``Example(..., linked=True)``.
        check: See `convert`.
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
    found, _ = make_encoders(
        model,
        example_inputs,
        at=at,
        balance=balance,
        head=head,
        samples=samples,
        check=check,
        options=options,
    )
    return found


def make_encoders(
    model: nn.Module,
    example_inputs: Any,
    *,
    at: At,
    balance: Balance,
    head: Head,
    samples: int | None,
    check: Level,
    options: ALOptions,
) -> tuple[Plan, Subject]:
    """Return the plan, and the encoders beside the model that they were made of."""
    _check_model(model)
    check_level(check)
    example = Example.of(example_inputs)
    arguments = Arguments.of(model, example)
    whole = _example(model, arguments, example)
    arguments = read_inputs(model, arguments, whole)
    inputs = _some(arguments, whole, samples)
    if balance == "time" and any(value.is_meta for value in inputs.values()):
        balance = "flops"  # nothing is computed there, so that nothing takes time
    with buffers_kept(model), uncompiled():
        try:
            seen = observe(model, arguments, inputs, balance)
        except RunError as error:
            raise _failed(model, arguments, whole, inputs, error) from error
        body, head = body_below(head, seen)
        costs = Costs(body, balance)
        cuts = [*choose_cuts(body, at, costs), Cut("the head", body.end, body.features)]
        script = Script(body, [cut.time for cut in cuts])
        if script.faults:
            raise ConversionError(script.faults)
        allow_pickling(model)
        programs = make_programs(script, cuts, arguments)
        other = training_programs(script, cuts, arguments, head)
        constants = {**script.constants, **other.constants}
        slices = make_slices(model, programs, other.programs, constants)
        # law 5, checked at every conversion; on other batches too, for what depends on their size
        streams = same_streams(slices, seen.recording.inputs, body.features.tensor)
        fewer = seen.fewer
        others = same_streams(slices, fewer.inputs, recorded_features(fewer, arguments, head))
        notes = [*_trimmed(arguments, whole, inputs), *other.notes]
        halved, more = _shorter(slices, seen.shorter, arguments, head)
        plan = make_plan(
            script,
            cuts,
            slices,
            costs,
            options,
            streams,
            others,
            halved,
            arguments,
            [*notes, *more],
            (other.left_out,) if other.left_out else (),
        )
        subject = Subject.of(model, arguments, head, slices, plan)
        small = seen.shorter.inputs if seen.shorter is not None and halved is not None else None
        check_conversion(subject, inputs, check, plan.branches, small)
    return plan, subject


def _shorter(
    slices: list[Slice], shorter: Recording | None, arguments: Arguments, head: Head
) -> tuple[list[Stream] | None, list[str]]:
    """Check that fewer positions give the model's features; or say that they are refused."""
    if shorter is None:
        return None, []
    expected = recorded_features(shorter, arguments, head)
    try:
        with attributes_kept(shorter.model):
            return same_streams(slices, shorter.inputs, expected), []
    except GuardError as error:
        return None, [f"batches must be of the example's sizes in part: {error.condition}"]


def _failed(
    model: nn.Module,
    arguments: Arguments,
    whole: dict[str, Tensor],
    inputs: dict[str, Tensor],
    error: RunError,
) -> InputError:
    """Return the error, or that the rows are no samples, if the whole example runs."""
    if arguments.count(whole) == arguments.count(inputs):
        return error
    args, kwargs = arguments.call(whole)
    try:
        with evaluating(model):
            model(*args, **kwargs)
    except Exception:  # it fails on the whole example, too
        return error
    return InputError(
        f"{error}. It runs on the whole example; these are its first {arguments.count(inputs)} "
        "samples, which alone are looked at. If its rows are no samples, as the nodes of a graph "
        "or the tokens of bags, say so: al.Example(x, linked=True, shared=[...]), shared being "
        "inputs without a row for each target; if only the number of rows matters: samples=None."
    )


def _trimmed(
    arguments: Arguments, whole: dict[str, Tensor], inputs: dict[str, Tensor]
) -> list[str]:
    count, used = arguments.count(whole), arguments.count(inputs)
    if count == used:
        return []
    return [f"looked at {used} of the example's {count} samples (samples={used})"]


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


def _example(model: nn.Module, arguments: Arguments, example: Example) -> dict[str, Tensor]:
    """Return the example's tensors by name."""
    inputs = arguments.bind(example.inputs)
    check_finite(inputs, "example")
    device = device_of(model)
    elsewhere = [name for name, value in inputs.items() if value.device != device]
    if elsewhere:
        raise InputError(
            f"the example's {', '.join(elsewhere)} came on {inputs[elsewhere[0]].device}, the "
            f"model is on {device}; move the example there: x.to({str(device)!r})."
        )
    count = arguments.count(inputs)
    if count < 2 and not arguments.linked:
        raise InputError(
            f"an example of {count} samples came; expected a batch of two or more, which tells "
            "the batch apart from the other axes."
        )
    return inputs


def _some(
    arguments: Arguments, inputs: dict[str, Tensor], samples: int | None
) -> dict[str, Tensor]:
    """Return the first samples of the example: enough to see shapes and to take times."""
    if samples is None or samples >= arguments.count(inputs):
        return inputs
    if samples < 2:
        raise InputError(f"samples={samples} came; expected two or more, or None for all.")
    return arguments.fewer(inputs, _telling_count(inputs, samples))


def _telling_count(inputs: dict[str, Tensor], most: int) -> int:
    """Return how many samples to look at: as many as no other axis is long, if that can be."""
    others = {size for value in inputs.values() for size in value.shape[1:]}
    return next((n for n in range(most, 1, -1) if n not in others), most)

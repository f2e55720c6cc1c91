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
from associated_learning.conversion.observation import (
    Observation,
    RunError,
    body_below,
    initialise_lazy,
    observe,
)
from associated_learning.conversion.options import ALKeywords, ALOptions, flat, with_keywords
from associated_learning.conversion.plan import Plan, make_plan
from associated_learning.conversion.planned_layer import CutModel
from associated_learning.conversion.progress import progress
from associated_learning.conversion.sampling import (
    Samples,
    check_model,
    example_tensors,
    first_samples,
    trimmed,
)
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
from associated_learning.targets import Target
from associated_learning.tensors.modes import evaluating

__all__ = ["Source", "make_encoders", "plan"]


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
    target: Target | None = None,
    at: At = "auto",
    balance: Balance = "time",
    head: Head = "auto",
    samples: Samples = "auto",
    check: Level = "quick",
    options: ALOptions | None = None,
    **keywords: Unpack[ALKeywords],
) -> Plan:
    """Look at how a model would be cut into layers, without converting it.

    Args:
        model: Any module. It is run on the example, in evaluation mode and without gradients;
            lazy modules get their sizes by that, as by any first run.
        example_inputs: A batch of at least two samples as the model takes it: a tensor, a tuple
            of positional arguments, a mapping of keyword arguments, or a `PaddedSequence`; or an
            `Example` around one of these, which says what cannot be seen in it.
        target: What y is: needed only where it has positions, which readouts then keep.
        at: Names of submodules before each of which a new layer begins (the naming of
            ``torch.distributed.pipelining``'s split spec; a mapping from names to "beginning" or
            "end" is taken too); or a number of layers; or "auto", for four or as many as can be.
        balance: What a number of layers, or "auto", balances: measured "time", "parameters" or
            "flops".
        head: Names of the modules of the old classifier, which is dropped; None if the model has
            none; "auto" finds it.
        samples: How many samples of the example are looked at: "auto" for four, or three of a
            model of over 50 million parameters; None for all. Rows that are no samples, such as a
            graph's nodes, are not left out: ``Example(..., linked=True)``.
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
        target=target,
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
    target: Target | None,
    at: At,
    balance: Balance,
    head: Head,
    samples: Samples,
    check: Level,
    options: ALOptions,
) -> tuple[Plan, Subject]:
    """Return the plan, and the encoders beside the model that they were made of."""
    check_model(model)
    check_level(check)
    example = Example.of(example_inputs)
    arguments = Arguments.of(model, example)
    whole = example_tensors(model, arguments, example)
    initialise_lazy(model, arguments, whole)
    arguments = read_inputs(model, arguments, whole)
    inputs = first_samples(model, arguments, whole, samples)
    if balance == "time" and any(value.is_meta for value in inputs.values()):
        balance = "flops"  # nothing is computed there, so that nothing takes time
    with buffers_kept(model), uncompiled(), progress() as say:
        say("running the model on the example")
        try:
            seen = observe(model, arguments, inputs, balance)
        except RunError as error:
            raise _failed(model, arguments, whole, inputs, error) from error
        say("choosing where the layers begin")
        body, head = body_below(head, seen, 0 if target is None else target.positions)
        costs = Costs(body, balance)
        cuts = [*choose_cuts(body, at, costs), Cut("the head", body.end, body.features)]
        say("cutting the model into layers")
        layers = _cut(
            Script(body, [cut.time for cut in cuts]), cuts, arguments, head, seen.fewer.inputs
        )
        say("running the layers on batches of other sizes")
        layers.notes.extend(trimmed(arguments, whole, inputs))
        plan, small, two = _planned(layers, seen, costs, options, arguments, head, target)
        subject = Subject.of(model, arguments, head, layers.slices, plan)
        say("comparing the layers with the model")
        check_conversion(subject, inputs, check, plan.branches, small, two)
    return plan, subject


class _Layers(NamedTuple):
    """What a model was cut into, and what to say of it."""

    script: Script
    cuts: list[Cut]
    slices: list[Slice]
    notes: list[str]
    left_out: tuple[str, ...]


def _cut(
    script: Script,
    cuts: list[Cut],
    arguments: Arguments,
    head: Head,
    fewer: dict[str, Tensor],
) -> _Layers:
    """Make the layers' encoders.

    Raises:
        ConversionError: What the model does there cannot be written down.
    """
    if script.faults:
        raise ConversionError(script.faults)
    model = script.recording.model
    allow_pickling(model)
    programs = make_programs(script, cuts, arguments)
    other = training_programs(script, cuts, arguments, head, fewer)
    constants = {**script.constants, **other.constants}
    slices = make_slices(model, programs, other.programs, constants)
    left_out = (other.left_out,) if other.left_out else ()
    return _Layers(script, cuts, slices, list(other.notes), left_out)


def _planned(
    layers: _Layers,
    seen: Observation,
    costs: Costs,
    options: ALOptions,
    arguments: Arguments,
    head: Head,
    target: Target | None,
) -> tuple[Plan, dict[str, Tensor] | None, list[Stream] | None]:
    """Return the plan, a smaller batch, if layers take one, and what they give for two samples.

    Law 5 is checked at every conversion, on other batches too, for what depends on their size.
    """
    slices = layers.slices
    streams = same_streams(slices, seen.recording.inputs, layers.cuts[-1].s.tensor)
    fewer = seen.fewer
    others = same_streams(slices, fewer.inputs, recorded_features(fewer, arguments, head))
    halved, more = _shorter(slices, seen.shorter, arguments, head)
    cut = CutModel(
        script=layers.script,
        cuts=layers.cuts,
        slices=slices,
        arguments=arguments,
        costs=costs,
        options=options,
        target=target,
        example=streams,
        fewer=others,
        shorter=halved,
    )
    plan = make_plan(cut, [*layers.notes, *more], layers.left_out)
    small = seen.shorter.inputs if seen.shorter is not None and halved is not None else None
    if small is None and arguments.count(fewer.inputs) == 1:
        small = fewer.inputs
    runs = ((fewer.inputs, others), (seen.recording.inputs, streams))
    return plan, small, next((found for x, found in runs if arguments.count(x) == 2), None)


def _shorter(
    slices: list[Slice], shorter: Recording | None, arguments: Arguments, head: Head
) -> tuple[list[Stream] | None, list[str]]:
    """Check that other positions give the model's features; or say that they are refused."""
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

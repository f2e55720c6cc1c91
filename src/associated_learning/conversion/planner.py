"""How a model becomes an AL network: found by one run of it on an example (Algorithm 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from associated_learning.conversion.cutting.balance import Balance, Costs
from associated_learning.conversion.cutting.body import Cut
from associated_learning.conversion.cutting.head import Head
from associated_learning.conversion.cutting.selection import At, choose_cuts
from associated_learning.conversion.observation import body_below, observe
from associated_learning.conversion.partners import BridgeKind
from associated_learning.conversion.plan import PartnerSettings, Plan, make_plan
from associated_learning.conversion.slicing.either_mode import training_programs
from associated_learning.conversion.slicing.equality import recorded_features, same_streams
from associated_learning.conversion.slicing.pickling import allow_pickling
from associated_learning.conversion.slicing.script import Script
from associated_learning.conversion.slicing.slice import Slice
from associated_learning.conversion.slicing.slicing import make_programs, make_slices
from associated_learning.conversion.tracing.arguments import Arguments
from associated_learning.conversion.tracing.call import Recording
from associated_learning.conversion.tracing.guards import GuardError
from associated_learning.conversion.tracing.resizing import (
    attributes_kept,
    buffers_kept,
    uncompiled,
)
from associated_learning.errors import ConversionError, InputError
from associated_learning.network import Network
from associated_learning.tensors.batch_checks import check_finite
from associated_learning.tensors.devices import device_of

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


def plan(
    model: nn.Module,
    example_inputs: Any,
    *,
    at: At = "auto",
    balance: Balance = "time",
    head: Head = "auto",
    latent: int | Sequence[int] = 128,
    readout: nn.Module | Sequence[nn.Module] | None = None,
    bridge: BridgeKind = "linear",
    bridge_hidden: int = 1280,
    samples: int | None = SAMPLES,
) -> Plan:
    """Look at how a model would be cut into layers, without converting it.

    Args:
        model: Any module. It is run on the example, in evaluation mode and without gradients.
        example_inputs: A batch of at least two samples as the model takes it: a tensor, a tuple
            of positional arguments, a mapping of keyword arguments, or a `Sequence`.
        at: Names of submodules before each of which a new layer begins (the naming of
            ``torch.distributed.pipelining``'s split spec; a mapping from names to "beginning" or
            "end" is taken too); or a number of layers; or "auto", for four or as many as can be.
        balance: What a number of layers, or "auto", balances: measured "time", "parameters" or
            "flops".
        head: Names of the modules of the old classifier, which is dropped; None if the model has
            none; "auto" finds it.
        latent: Widths of the latents, from which the bridges' sizes follow.
        readout: See `convert`.
        bridge: See `make_bridge`.
        bridge_hidden: See `make_bridge`.
        samples: How many samples of the example are looked at; None for all. Rows of the first
            axis that are no samples, such as a graph's nodes, cannot be left out: AL has a loss
            and an answer for each sample, and refuses such models.

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
    found, _, _ = make_encoders(
        model,
        example_inputs,
        at=at,
        balance=balance,
        head=head,
        samples=samples,
        settings=PartnerSettings(latent, bridge, bridge_hidden, readout),
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
    settings: PartnerSettings,
) -> tuple[Plan, list[Slice], Source]:
    """Return the plan, the encoders, and what they were made of."""
    _check_model(model)
    arguments = Arguments.of(model, example_inputs)
    inputs = _example(model, arguments, example_inputs, samples)
    if balance == "time" and any(value.is_meta for value in inputs.values()):
        balance = "flops"  # nothing is computed there, so that nothing takes time
    with buffers_kept(model), uncompiled():
        whole = arguments.count(arguments.bind(example_inputs))
        seen = observe(model, arguments, inputs, balance, whole)
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
        notes = [*_trimmed(arguments.count(inputs), whole), *other.notes]
        if seen.shorter is not None:
            notes += _shorter(slices, seen.shorter, arguments, head)
        plan = make_plan(script, cuts, slices, costs, settings, streams, others, notes)
    return plan, slices, Source(model, arguments, head)


def _shorter(
    slices: list[Slice], shorter: Recording, arguments: Arguments, head: Head
) -> list[str]:
    """Check that fewer positions give the model's features; or say that they are refused."""
    expected = recorded_features(shorter, arguments, head)
    try:
        with attributes_kept(shorter.model):
            same_streams(slices, shorter.inputs, expected)
    except GuardError as error:
        return [f"batches must be of the example's sizes in part: {error.condition}"]
    return []


def _trimmed(used: int, whole: int) -> list[str]:
    if used == whole:
        return []
    return [f"looked at {used} of the example's {whole} samples (samples={used})"]


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


def _example(
    model: nn.Module, arguments: Arguments, x: Any, samples: int | None
) -> dict[str, Tensor]:
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
    if samples is None or samples >= count:
        return inputs
    if samples < 2:
        raise InputError(f"samples={samples} came; expected two or more, or None for all.")
    return arguments.fewer(inputs, _telling_count(inputs, samples))


def _telling_count(inputs: dict[str, Tensor], most: int) -> int:
    """Return how many samples to look at: as many as no other axis is long, if that can be."""
    others = {size for value in inputs.values() for size in value.shape[1:]}
    return next((n for n in range(most, 1, -1) if n not in others), most)

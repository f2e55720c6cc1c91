"""How a model becomes an AL network: found by one run of it on an example (Algorithm 1)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from associated_learning.conversion.arguments import KEEP_MASKS, Arguments
from associated_learning.conversion.balance import Balance, Costs
from associated_learning.conversion.cuts import Cut, find_body
from associated_learning.conversion.equality import check_same_features
from associated_learning.conversion.flow import Flow
from associated_learning.conversion.head import Head, head_begins
from associated_learning.conversion.layout import feature_axis
from associated_learning.conversion.parametrized import allow_pickling
from associated_learning.conversion.planned import Plan, PlannedLayer
from associated_learning.conversion.readouts import Activation, Readout, choose, find_mask
from associated_learning.conversion.record import Recording, record
from associated_learning.conversion.selection import At, choose_cuts
from associated_learning.conversion.slice import Slice
from associated_learning.conversion.slicing import Script, make_slices, write_script
from associated_learning.errors import ConversionError, InputError
from associated_learning.inference import check_finite, evaluating
from associated_learning.network import Network

__all__ = ["make_encoders", "plan"]


def plan(
    model: nn.Module,
    example_inputs: Any,
    *,
    at: At = "auto",
    balance: Balance = "time",
    head: Head = "auto",
    latent: int | Sequence[int] = 128,
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
        latent: Widths of the latents; only for the bridges' sizes.

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
        model, example_inputs, at=at, balance=balance, head=head, latent=latent
    )
    return found


def make_encoders(
    model: nn.Module,
    example_inputs: Any,
    *,
    at: At,
    balance: Balance,
    head: Head,
    latent: int | Sequence[int],
) -> tuple[Plan, list[Slice], Arguments]:
    """Return the plan, the encoders, and how a batch becomes the model's arguments."""
    _check_model(model)
    arguments = Arguments.of(model, example_inputs)
    inputs = arguments.bind(example_inputs)
    _check_batch(inputs)
    recording = _record(model, arguments, inputs, balance)
    flow = Flow(recording, arguments.data(inputs))
    body = find_body(flow, head_begins(recording, head))
    costs = Costs(body, balance)
    cuts = [*choose_cuts(body, at, costs), Cut("the head", body.end, body.features)]
    script = write_script(flow, [cut.time for cut in cuts])
    if script.faults:
        raise ConversionError(script.faults)
    allow_pickling(model)
    slices = make_slices(script, cuts, arguments)
    check_same_features(model, arguments, inputs, head, slices)
    layers = _layers(script, cuts, slices, costs, inputs, latent)
    dropped = _dropped(model, slices)
    notes = _notes(layers, dropped)
    plan = Plan(
        model=type(model).__name__,
        layers=tuple(layers),
        dropped=dropped,
        balance=balance,
        notes=tuple(notes),
    )
    return plan, slices, arguments


def _check_model(model: Any) -> None:
    if isinstance(model, Network) or any(isinstance(part, Slice) for part in model.modules()):
        raise InputError(
            f"a {type(model).__name__} came, which is in AL form already; convert the model that "
            "it was made of (net.backbone())."
        )


def _check_batch(inputs: dict[str, Tensor]) -> None:
    check_finite(inputs, "example")
    sizes = {name: value.shape[0] for name, value in inputs.items() if value.dim()}
    if not sizes or min(sizes.values()) < 2:
        raise InputError(
            f"an example of {min(sizes.values(), default=0)} samples came; expected a batch of two "
            "or more, which tells the batch apart from the other axes."
        )


def _record(
    model: nn.Module, arguments: Arguments, inputs: dict[str, Tensor], balance: Balance
) -> Recording:
    """Run the model, after a first run that warms it up and shows whether it runs at all."""
    example = {name: _with_padding(name, value) for name, value in inputs.items()}
    args, kwargs = arguments.call(example)
    with evaluating(model):
        try:
            model(*args, **kwargs)
        except (RuntimeError, TypeError, ValueError, AttributeError, IndexError, KeyError) as error:
            shapes = ", ".join(f"{n} {list(v.shape)} {v.dtype}" for n, v in inputs.items())
            raise InputError(
                f"{type(model).__name__} fails on the example ({shapes}): {error}"
            ) from error
    recording = record(model, args, kwargs, example, count_flops=balance == "flops")
    if balance == "time":
        _measure_again(recording, lambda: record(model, args, kwargs, example))
    return recording


def _measure_again(recording: Recording, again: Callable[[], Recording]) -> None:
    """Take the least of several times of every call, for at most half a second."""
    until = time.perf_counter() + 0.5
    for _ in range(4):
        if time.perf_counter() > until:
            return
        calls = zip(recording.root.walk(), again().root.walk(), strict=False)
        for call, other in calls:
            call.seconds = min(call.seconds, other.seconds)


def _with_padding(name: str, value: Tensor) -> Tensor:
    """Let a mask that keeps everything leave out one position: models skip masks of ones."""
    if name not in KEEP_MASKS or value.dim() != 2 or value.shape[1] < 2 or value.is_meta:
        return value
    if not bool(value.bool().all()):
        return value
    padded = value.clone()
    padded[0, -1] = 0
    return padded


def _layers(
    script: Script,
    cuts: Sequence[Cut],
    slices: list[Slice],
    costs: Costs,
    inputs: dict[str, Tensor],
    latent: int | Sequence[int],
) -> list[PlannedLayer]:
    shares = costs.shares([cut.time for cut in cuts])
    latents = [latent] * len(cuts) if isinstance(latent, int) else list(latent)
    found, s = [], _streams(slices, inputs)
    for i, (cut, encoder) in enumerate(zip(cuts, slices, strict=True)):
        readout = _readout(script, cut, inputs)
        with torch.no_grad():
            width = readout.module(s[i]).shape[1]
        own = list(encoder.parameters())
        found.append(
            PlannedLayer(
                begins=cuts[i - 1].name if i else "",
                modules=_modules(encoder),
                shape=tuple(cut.s.tensor.shape),
                readout=readout.module,
                reason=readout.reason,
                width=width,
                parameters=sum(p.numel() for p in own),
                frozen=sum(p.numel() for p in own if not p.requires_grad),
                bridge_parameters=(width + 1) * latents[i],
                share=shares[i],
            )
        )
    return found


def _streams(slices: list[Slice], inputs: dict[str, Tensor]) -> list[Any]:
    found, s = [], inputs
    for encoder in slices:
        with evaluating(encoder):
            s = encoder(s)
        found.append(s)
    return found


def _readout(script: Script, cut: Cut, inputs: dict[str, Tensor]) -> Readout:
    tensor = cut.s.tensor
    axis = feature_axis(script.flow, tensor)
    maker = cut.s.maker
    around = (call for call in (maker, *(maker.ancestors() if maker else ())) if call is not None)
    module = next((call.module for call in around if id(call) in script.numbers), None)
    return choose(Activation(tensor, axis, module, find_mask(tensor, dict(inputs))))


def _modules(encoder: Slice) -> tuple[str, ...]:
    names = (step.target for step in encoder.recipe.steps if isinstance(step.target, str))
    return tuple(dict.fromkeys(names))


def _dropped(model: nn.Module, slices: list[Slice]) -> tuple[str, ...]:
    """Return the outermost modules with parameters of which none is in a layer."""
    kept = {id(parameter) for encoder in slices for parameter in encoder.parameters()}
    dropped: list[str] = []
    for name, module in model.named_modules():
        own = [id(parameter) for parameter in module.parameters()]
        inside = any(name.startswith(f"{other}.") for other in dropped)
        if name and own and not inside and not kept & set(own):
            dropped.append(name)
    return tuple(dropped)


def _notes(layers: list[PlannedLayer], dropped: tuple[str, ...]) -> list[str]:
    notes = []
    if dropped:
        notes.append(
            f"dropped, because bridges and decoders take their place: {', '.join(dropped)}"
        )
    frozen = sum(layer.frozen for layer in layers)
    if frozen:
        notes.append(f"{frozen:,} parameters are frozen (requires_grad=False) and stay so")
    return notes

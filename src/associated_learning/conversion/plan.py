"""What conversion will do, as a value that prints itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

from associated_learning.conversion.al_form import measured_width
from associated_learning.conversion.cutting.balance import Balance, Costs
from associated_learning.conversion.cutting.body import Cut
from associated_learning.conversion.cutting.feature_axis import feature_axis, steady_axis
from associated_learning.conversion.options import ALOptions
from associated_learning.conversion.partners import MakePartners, bridge_size, partners_for
from associated_learning.conversion.readouts import Readout, ReadoutContext, choose, find_mask
from associated_learning.conversion.slicing.script import Script
from associated_learning.conversion.slicing.slice import Slice, Stream
from associated_learning.conversion.table import html_table, text_table
from associated_learning.conversion.tracing.arguments import Arguments
from associated_learning.layer import one_for_each

__all__ = ["Plan", "PlannedLayer", "make_plan"]


@dataclass(frozen=True, kw_only=True)
class PlannedLayer:
    """One layer of a plan.

    Attributes:
        begins: Name of the module before or after which it begins; empty for the first.
        modules: Names of the modules in it, in the order of their calls.
        shape: Shape of ``s_i`` on the example's first samples.
        batch_axis: Which of its axes is the batch.
        readout: From ``s_i`` to the bridge's vector.
        reason: Why this readout.
        width: Width of that vector.
        parameters: Number of parameters of f.
        frozen: How many of them have ``requires_grad=False``, and stay frozen.
        partners: Makes b, g and h, if a function is registered for the module that made s.
        bridge_parameters: Number of parameters of b.
        share: Share of the cost of all layers, of what the plan was balanced by.
    """

    begins: str
    modules: tuple[str, ...]
    shape: tuple[int, ...]
    batch_axis: int
    readout: nn.Module
    reason: str
    width: int
    parameters: int
    frozen: int
    partners: MakePartners | None
    bridge_parameters: int
    share: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What conversion will do; print it to read it.

    Attributes:
        model: Name of the model's class.
        layers: The layers, from the input up.
        dropped: Names of modules that hold parameters and are in no layer: the old head.
        balance: What the shares are shares of.
        notes: What else there is to know.
        branches: Modules that do something in training which the layers do not.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3))
        >>> print(al.plan(model, torch.randn(2, 4), at=["1"], balance="parameters", latent=5))
        Sequential in 2 layers
        layer  modules  s      readout             bridge  parameters  share of parameters
        -----  -------  -----  ------------------  ------  ----------  -------------------
        1      0        B x 4  as it is: a vector  25      20          50%
        2      1        B x 4  as it is: a vector  25      20          50%
        dropped, because bridges and decoders take their place: 2
    """

    model: str
    layers: tuple[PlannedLayer, ...]
    dropped: tuple[str, ...]
    balance: Balance
    notes: tuple[str, ...]
    branches: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([self._title(), text_table(*self._table()), *self.notes])

    def _repr_html_(self) -> str:
        return html_table(self._title(), *self._table(), self.notes)

    def _title(self) -> str:
        return f"{self.model} in {len(self.layers)} layers"

    def _table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        header = (
            "layer",
            "modules",
            "s",
            "readout",
            "bridge",
            "parameters",
            f"share of {self.balance}",
        )
        rows: list[tuple[str, ...]] = [
            (
                str(i),
                _shortened(layer.modules),
                _written(layer.shape, layer.batch_axis),
                layer.reason,
                f"{layer.bridge_parameters:,}",
                f"{layer.parameters:,}",
                f"{layer.share:.0%}",
            )
            for i, layer in enumerate(self.layers, start=1)
        ]
        return header, rows


class Streams(NamedTuple):
    """What each encoder gives.

    Attributes:
        example: On the example.
        fewer: On fewer samples.
        shorter: On another number of positions; None where the model takes no other.
    """

    example: list[Stream]
    fewer: list[Stream]
    shorter: list[Stream] | None


def make_plan(
    script: Script,
    cuts: Sequence[Cut],
    slices: list[Slice],
    costs: Costs,
    options: ALOptions,
    streams: Streams,
    arguments: Arguments,
    notes: Sequence[str],
    branches: tuple[str, ...],
) -> Plan:
    """Describe what was cut, and choose readouts and partners.

    Args:
        script: The steps of the run.
        cuts: The cuts, the last at the head.
        slices: The encoders.
        costs: Their costs.
        options: What the user wishes.
        streams: What the encoders give.
        arguments: How a batch becomes the model's arguments, with its masks.
        notes: What was noticed on the way.
        branches: Modules that do something in training which the layers do not.
    """
    model = script.recording.model
    layers = _layers(script, cuts, slices, costs, options, streams, arguments)
    dropped = _dropped(model, slices)
    return Plan(
        model=type(model).__name__,
        layers=tuple(layers),
        dropped=dropped,
        balance=costs.balance,
        notes=(*_notes(layers, dropped), *notes),
        branches=branches,
    )


def _layers(
    script: Script,
    cuts: Sequence[Cut],
    slices: list[Slice],
    costs: Costs,
    options: ALOptions,
    streams: Streams,
    arguments: Arguments,
) -> list[PlannedLayer]:
    shares = costs.shares([cut.time for cut in cuts])
    latents = one_for_each("values of latent", options.latent, len(cuts))
    shorter = streams.shorter
    given = one_for_each("readouts", options.readout, len(cuts))
    found = []
    for i, (cut, encoder) in enumerate(zip(cuts, slices, strict=True)):
        batch_axis = _batch_axis(streams.example[i].values, streams.fewer[i].values)
        own_readout = given[i]
        readout = (
            _readout(
                script, cut, batch_axis, None if shorter is None else shorter[i].values, arguments
            )
            if own_readout is None
            else Readout(own_readout, "as given")
        )
        width = measured_width(i + 1, readout.module, streams.example[i])
        make = partners_for(_maker(script, cut))
        own = list(encoder.parameters())
        found.append(
            PlannedLayer(
                begins=cuts[i - 1].name if i else "",
                modules=_modules(encoder),
                shape=tuple(cut.s.tensor.shape),
                batch_axis=batch_axis,
                readout=readout.module,
                reason=readout.reason,
                width=width,
                parameters=sum(p.numel() for p in own),
                frozen=sum(p.numel() for p in own if not p.requires_grad),
                partners=make,
                bridge_parameters=bridge_size(
                    width, latents[i], options.bridge, options.bridge_hidden, make
                ),
                share=shares[i],
            )
        )
    return found


def _batch_axis(s: Tensor, fewer: Tensor) -> int:
    """Return the axis of the samples: the one that is shorter with a sample less."""
    sizes = enumerate(zip(s.shape, fewer.shape, strict=True))
    return next((i for i, (size, less) in sizes if size != less), 0)


def _readout(
    script: Script, cut: Cut, batch_axis: int, halved: Tensor | None, arguments: Arguments
) -> Readout:
    tensor = cut.s.tensor
    axis = steady_axis(tensor, halved, batch_axis, feature_axis(script.flow, tensor))
    module = _maker(script, cut)
    masks = {name: script.recording.inputs[name] for name in arguments.masks}
    mask = find_mask(tensor, batch_axis, axis, masks)
    keeps = arguments.masks.get(mask or "", True)
    return choose(ReadoutContext(tensor, axis, module, mask, batch_axis, keeps))


def _maker(script: Script, cut: Cut) -> nn.Module | None:
    """Return the outermost module of the layer that made its activation, if a module did."""
    maker = cut.s.maker
    around = () if maker is None else (maker, *maker.ancestors())
    return next((call.module for call in around if id(call) in script.numbers), None)


def _modules(encoder: Slice) -> tuple[str, ...]:
    names = (step.target for step in encoder.recipe.steps if isinstance(step.target, str))
    return tuple(dict.fromkeys(names))


def _dropped(model: nn.Module, slices: list[Slice]) -> tuple[str, ...]:
    """Return the outermost modules with parameters that no layer calls or holds any part of."""
    kept = {id(parameter) for encoder in slices for parameter in encoder.parameters()}
    called = [name for encoder in slices for name in _modules(encoder)]
    dropped: list[str] = []
    for name, module in model.named_modules():
        own = [id(parameter) for parameter in module.parameters()]
        inside = any(name.startswith(f"{other}.") for other in dropped)
        in_part = any(path.startswith(f"{name}.") for path in called)
        if name and own and not inside and not in_part and not kept & set(own):
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
    shares = [layer.share for layer in layers]
    if max(shares) > 0.75:
        notes.append(
            f"layer {shares.index(max(shares)) + 1} holds {max(shares):.0%} of the cost: name cuts "
            "inside it by at=[...] to see what forbids them"
        )
    return notes


def _written(shape: tuple[int, ...], batch_axis: int) -> str:
    sizes = ["B" if axis == batch_axis else str(size) for axis, size in enumerate(shape)]
    return " x ".join(sizes)


def _shortened(names: tuple[str, ...]) -> str:
    if len(names) <= 3:
        return ", ".join(names)
    return f"{names[0]}, {names[1]} ... {names[-1]} ({len(names)})"

"""One layer of a plan: what it holds, how its bridge sees it, what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import nn

from associated_learning.conversion.al_form import latent_widths
from associated_learning.conversion.chosen_loss import chosen_loss
from associated_learning.conversion.cutting.balance import Costs
from associated_learning.conversion.cutting.body import Cut
from associated_learning.conversion.cutting.feature_axis import feature_axis, steady_axis
from associated_learning.conversion.list_readouts import read_by
from associated_learning.conversion.lookahead import copied_layers, lookahead
from associated_learning.conversion.options import ALOptions
from associated_learning.conversion.partners import MakePartners, bridge_size, partners_for
from associated_learning.conversion.positions import positions_of_input, resizing
from associated_learning.conversion.readouts import Readout, ReadoutContext, choose, find_mask
from associated_learning.conversion.slicing.script import Script
from associated_learning.conversion.slicing.slice import Slice, Stream
from associated_learning.conversion.tracing.arguments import Arguments
from associated_learning.layer import one_for_each
from associated_learning.targets import Target

__all__ = ["CutModel", "PlannedLayer", "modules_of", "planned_layers", "positions_of_y"]


@dataclass(frozen=True, kw_only=True)
class PlannedLayer:
    """One layer of a plan.

    Attributes:
        begins: Name of the module before or after which it begins; empty for the first.
        modules: Names of the modules in it, in the order of their calls.
        shape: Shape of ``s_i`` on the example's first samples.
        batch_axis: Which of its axes is the batch.
        readout: From ``s_i`` to the bridge's vector, or vectors, one a position.
        resize: Brings its positions to those of y; None where they are the same, or y has none.
        reason: Why this readout.
        width: Width of that vector.
        parameters: Number of parameters of f.
        frozen: How many of them have ``requires_grad=False``, and stay frozen.
        partners: Makes b, g and h, if a function is registered for the module that made s.
        bridge_parameters: Number of parameters of b, and of the copies that it looks ahead by.
        share: Share of the cost of all layers, of what the plan was balanced by.
    """

    begins: str
    modules: tuple[str, ...]
    shape: tuple[int, ...]
    batch_axis: int
    readout: nn.Module
    resize: nn.Module | None
    reason: str
    width: int
    parameters: int
    frozen: int
    partners: MakePartners | None
    bridge_parameters: int
    share: float


@dataclass(frozen=True, kw_only=True)
class CutModel:
    """A model cut into encoders, and all that layers are planned by.

    Attributes:
        script: What the model does.
        cuts: Where each layer ends.
        slices: The encoders.
        arguments: How a batch becomes the model's arguments.
        costs: What the model costs, from any place in it to any other.
        options: What the user wishes.
        target: What y is, if it is known.
        example: What each encoder gives on the example.
        fewer: What each gives on fewer samples.
        shorter: What each gives on fewer positions; None where the model takes no fewer.
    """

    script: Script
    cuts: Sequence[Cut]
    slices: list[Slice]
    arguments: Arguments
    costs: Costs
    options: ALOptions
    target: Target | None
    example: list[Stream]
    fewer: list[Stream]
    shorter: list[Stream] | None


def planned_layers(model: CutModel, wanted: tuple[int, ...]) -> list[PlannedLayer]:
    """Plan each layer; ``wanted`` are the sizes of `positions_of_y`."""
    cuts, options, target = model.cuts, model.options, model.target
    shares = model.costs.shares([cut.time for cut in cuts])
    features = chosen_loss(options.association, target).features
    latents = [width + features for width in latent_widths(options, len(cuts), target)]
    given = one_for_each("readouts", options.readout, len(cuts))
    found = []
    for i, (cut, encoder) in enumerate(zip(cuts, model.slices, strict=True)):
        own = given[i]
        readout = _readout(model, i, wanted) if own is None else Readout(own, "as given")
        read = read_by(i + 1, readout.module, model.example[i], len(wanted))
        width, make = read.shape[-1], partners_for(_maker(model.script, cut))
        resize = resizing(i + 1, read, wanted) if wanted else None
        bridge = bridge_size(width, latents[i], options.bridge, options.bridge_hidden, make)
        parameters = list(encoder.parameters())
        found.append(
            PlannedLayer(
                begins=cuts[i - 1].name if i else "",
                modules=modules_of(encoder),
                shape=tuple(cut.s.tensor.shape),
                batch_axis=_batch_axis(model, i),
                readout=readout.module,
                resize=resize,
                reason=readout.reason + ("" if resize is None else f", resized to {list(wanted)}"),
                width=width,
                parameters=sum(p.numel() for p in parameters),
                frozen=sum(p.numel() for p in parameters if not p.requires_grad),
                partners=make,
                bridge_parameters=bridge,
                share=shares[i],
            )
        )
    return _looking_ahead(model, found, latents)


def _looking_ahead(
    model: CutModel, found: list[PlannedLayer], latents: list[int]
) -> list[PlannedLayer]:
    """Let bridges that look ahead read what copies of the next layers make of s."""
    options, own = model.options, [layer.readout for layer in found]
    made = []
    for i, copied in enumerate(copied_layers(len(found), options)):
        if not copied:
            made.append(found[i])
            continue
        readout = lookahead(i, model.slices, own, options, model.example)
        above = found[copied[-1]]
        size = bridge_size(
            above.width, latents[i], options.bridge, options.bridge_hidden, found[i].partners
        )
        made.append(
            replace(
                found[i],
                readout=readout,
                resize=above.resize,
                reason=f"a copy of {_named(copied)}, then: {above.reason}",
                width=above.width,
                bridge_parameters=size + sum(p.numel() for p in readout.parameters()),
            )
        )
    return made


def _named(layers: list[int]) -> str:
    """Return how to call layers, counted from 0: "layer 2", "layers 2 to 4", "layers 2, 5"."""
    first, last = layers[0] + 1, layers[-1] + 1
    if len(layers) == 1:
        return f"layer {first}"
    if last - first == len(layers) - 1:
        return f"layers {first} to {last}"
    return "layers " + ", ".join(str(k + 1) for k in layers)


def positions_of_y(model: CutModel) -> tuple[int, ...]:
    """Return the sizes that y's positions have on the example; none where it has none."""
    script, target, s = model.script, model.target, model.cuts[-1].s.tensor
    if target is None or not target.positions:
        return ()
    own = {_batch_axis(model, -1), feature_axis(script.flow, s)}
    kept = tuple(size for axis, size in enumerate(s.shape) if axis not in own)
    return positions_of_input(script.recording.inputs, target, kept)


def _batch_axis(model: CutModel, i: int) -> int:
    """Return which axis of ``s_i`` is the samples: the one that is shorter with a sample less."""
    sizes = zip(model.example[i].values.shape, model.fewer[i].values.shape, strict=True)
    return next((axis for axis, (size, less) in enumerate(sizes) if size != less), 0)


def _readout(model: CutModel, i: int, wanted: tuple[int, ...]) -> Readout:
    script, cut, masks = model.script, model.cuts[i], model.arguments.masks
    tensor, batch_axis = cut.s.tensor, _batch_axis(model, i)
    shorter = None if model.shorter is None else model.shorter[i].values
    axis = steady_axis(tensor, shorter, batch_axis, feature_axis(script.flow, tensor))
    module = _maker(script, cut)
    given = {name: script.recording.inputs[name] for name in masks}
    mask = find_mask(tensor, batch_axis, axis, given)
    keeps = masks.get(mask or "", True)
    return choose(ReadoutContext(tensor, axis, module, mask, batch_axis, keeps, wanted))


def _maker(script: Script, cut: Cut) -> nn.Module | None:
    """Return the outermost module of the layer that made its activation, if a module did."""
    maker = cut.s.maker
    around = () if maker is None else (maker, *maker.ancestors())
    return next((call.module for call in around if id(call) in script.numbers), None)


def modules_of(encoder: Slice) -> tuple[str, ...]:
    """Return the names of the modules that an encoder calls, in the order of their calls."""
    names = (step.target for step in encoder.recipe.steps if isinstance(step.target, str))
    return tuple(dict.fromkeys(names))

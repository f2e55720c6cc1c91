"""One layer of a plan: what it holds, how its bridge sees it, what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from torch import Tensor, nn

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

__all__ = ["PlannedLayer", "Streams", "modules_of", "planned_layers", "positions_of_y"]


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


class Streams(NamedTuple):
    """What each encoder gives.

    Attributes:
        example: On the example.
        fewer: On fewer samples.
        shorter: On fewer positions; None where the model takes no fewer.
    """

    example: list[Stream]
    fewer: list[Stream]
    shorter: list[Stream] | None


def planned_layers(
    script: Script,
    cuts: Sequence[Cut],
    slices: list[Slice],
    costs: Costs,
    options: ALOptions,
    streams: Streams,
    arguments: Arguments,
    target: Target | None,
    wanted: tuple[int, ...],
) -> list[PlannedLayer]:
    """Plan each layer."""
    shares = costs.shares([cut.time for cut in cuts])
    features = chosen_loss(options.association, target).features
    latents = [width + features for width in latent_widths(options, len(cuts), target)]
    given = one_for_each("readouts", options.readout, len(cuts))
    found = []
    for i, (cut, encoder) in enumerate(zip(cuts, slices, strict=True)):
        batch_axis = _batch_axis(streams.example[i].values, streams.fewer[i].values)
        own = given[i]
        shorter = None if streams.shorter is None else streams.shorter[i].values
        readout = (
            _readout(script, cut, batch_axis, shorter, arguments, wanted)
            if own is None
            else Readout(own, "as given")
        )
        read = read_by(i + 1, readout.module, streams.example[i], len(wanted))
        width, make = read.shape[-1], partners_for(_maker(script, cut))
        resize = resizing(i + 1, read, wanted) if wanted else None
        bridge = bridge_size(width, latents[i], options.bridge, options.bridge_hidden, make)
        parameters = list(encoder.parameters())
        found.append(
            PlannedLayer(
                begins=cuts[i - 1].name if i else "",
                modules=modules_of(encoder),
                shape=tuple(cut.s.tensor.shape),
                batch_axis=batch_axis,
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
    return _looking_ahead(found, slices, latents, options, streams.example)


def _looking_ahead(
    found: list[PlannedLayer],
    slices: list[Slice],
    latents: list[int],
    options: ALOptions,
    streams: list[Stream],
) -> list[PlannedLayer]:
    """Let bridges that look ahead read what copies of the next layers make of s."""
    own = [layer.readout for layer in found]
    made = []
    for i, copied in enumerate(copied_layers(len(found), options)):
        if not copied:
            made.append(found[i])
            continue
        readout, above = lookahead(i, slices, own, options, streams), found[copied[-1]]
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


def positions_of_y(
    script: Script, last: Cut, streams: Streams, target: Target | None
) -> tuple[int, ...]:
    """Return the sizes that y's positions have on the example; none where it has none."""
    if target is None or not target.positions:
        return ()
    s = last.s.tensor
    batch_axis = _batch_axis(streams.example[-1].values, streams.fewer[-1].values)
    own = {batch_axis, feature_axis(script.flow, s)}
    kept = tuple(size for axis, size in enumerate(s.shape) if axis not in own)
    return positions_of_input(script.recording.inputs, target, kept)


def _batch_axis(s: Tensor, fewer: Tensor) -> int:
    """Return the axis of the samples: the one that is shorter with a sample less."""
    sizes = enumerate(zip(s.shape, fewer.shape, strict=True))
    return next((i for i, (size, less) in sizes if size != less), 0)


def _readout(
    script: Script,
    cut: Cut,
    batch_axis: int,
    halved: Tensor | None,
    arguments: Arguments,
    wanted: tuple[int, ...],
) -> Readout:
    tensor = cut.s.tensor
    axis = steady_axis(tensor, halved, batch_axis, feature_axis(script.flow, tensor))
    module = _maker(script, cut)
    masks = {name: script.recording.inputs[name] for name in arguments.masks}
    mask = find_mask(tensor, batch_axis, axis, masks)
    keeps = arguments.masks.get(mask or "", True)
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

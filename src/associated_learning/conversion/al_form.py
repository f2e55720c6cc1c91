"""Algorithm 1 for a list of encoders: insert b, g and h beside each and return an AL network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from torch import nn
from typing_extensions import Unpack

from associated_learning.conversion.list_readouts import readouts_for
from associated_learning.conversion.options import (
    ALKeywords,
    ALOptions,
    Association,
    LocalLoss,
    flat,
    with_keywords,
)
from associated_learning.conversion.partners import (
    MakePartners,
    Partners,
    make_bridge,
    make_coder,
)
from associated_learning.conversion.position_coders import (
    at_positions,
    coded_by_rows,
    reconstruction_of_rows,
)
from associated_learning.errors import InputError
from associated_learning.layer import ALLayer, one_for_each
from associated_learning.losses.contrast import contrastive_loss
from associated_learning.losses.equation3 import autoencoder_loss
from associated_learning.network import ALNetwork
from associated_learning.targets import Classes, Target
from associated_learning.targets.answer_loss import AnswerLoss
from associated_learning.tensors.devices import device_of

__all__ = ["al_form", "al_layers", "latent_widths"]


@flat
def al_form(
    encoders: Iterable[nn.Module],
    example: Any,
    target: Target,
    *,
    options: ALOptions | None = None,
    **keywords: Unpack[ALKeywords],
) -> ALNetwork:
    """Convert a list of encoders to AL form (Algorithm 1).

    The encoders are used as they are, not copied; a classifier on top is left out.

    Args:
        encoders: ``f_1 .. f_L``; each takes what the one before it returns.
        example: A batch of inputs, only looked at for its shapes.
        target: What y is.
        options: What to put beside the encoders, as a value.
        keywords: Any field of `ALOptions`, such as ``latent=16``; takes the place of that of
            ``options``.

    Raises:
        InputError: No encoder came, the example does not pass through the encoders, a list has
            not one entry for each layer, or there is no such option.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> encoders = [nn.Sequential(nn.Linear(4, 8), nn.ReLU()), nn.Linear(8, 8)]
        >>> net = al.al_form(encoders, torch.randn(2, 4), al.Classes(3), latent=16)
        >>> net.num_layers, net(torch.randn(5, 4), depth=1).shape
        (2, torch.Size([5, 3]))
    """
    options, encoders = with_keywords(options, keywords, al_form), list(encoders)
    readouts, widths, resizes = readouts_for(encoders, example, options.readout, target)
    layers = al_layers(encoders, target, readouts, widths, options, resizes=resizes)
    return ALNetwork(layers, target)


def al_layers(
    encoders: Sequence[nn.Module],
    target: Target,
    readouts: Sequence[nn.Module],
    read_widths: Sequence[int],
    options: ALOptions,
    partners: Sequence[MakePartners | None] | None = None,
    resizes: Sequence[nn.Module | None] | None = None,
) -> list[ALLayer]:
    """Return the layers that `al_form` makes a network of.

    Args:
        encoders: ``f_1 .. f_L``.
        target: What y is.
        readouts: One for each layer.
        read_widths: Widths of the vectors that they give.
        options: All else.
        partners: For each layer what makes b, g and h instead, or None.
        resizes: Where y has positions: for each layer what brings those of its bridge to y's, or
            None.
    """
    count = len(encoders)
    losses = [_losses(options, target, first=i == 0) for i in range(count)]
    widths = [target.size, *latent_widths(options, count, target)]
    stops = one_for_each("values of stop_gradients", options.stop_gradients, count)
    associated = one_for_each("values of use_associated", options.use_associated, count)
    if not all(isinstance(width, int) and width > 0 for width in widths):
        raise InputError(f"latent widths {widths[1:]} came; expected whole numbers above 0.")
    made = [
        (_own_partners(options, target, first=i == 0) if make is None else make)(
            read_widths[i], widths[i], widths[i + 1]
        )
        for i, make in enumerate(partners or [None] * count)
    ]
    if target.positions:
        made = [
            _with_positions(one, options, target, resize, first=i == 0)
            for i, (one, resize) in enumerate(zip(made, resizes or [None] * count, strict=True))
        ]
    layers = [
        ALLayer(
            f,
            *made[i],
            readout=readouts[i],
            reconstruction=losses[i].reconstruction,
            association=losses[i].association,
            detach_target=options.detach_target,
            use_associated=associated[i],
            stop_gradients=stops[i],
        )
        for i, f in enumerate(encoders)
    ]
    for layer in layers:
        layer.to(device_of(layer.f))
    return layers


def latent_widths(options: ALOptions, count: int, target: Target | None) -> list[int]:
    """Return ``D_1 .. D_L``: those that are wished for, or y's own where every exit answers it.

    Args:
        options: What the user wishes.
        count: Number of layers.
        target: What y is, where that is known.
    """
    if target is not None and target.positions and options.association == "auto":
        return [target.size] * count
    return one_for_each("values of latent", options.latent, count)


class _Losses(NamedTuple):
    association: LocalLoss | None
    reconstruction: LocalLoss | None


def _losses(options: ALOptions, target: Target, *, first: bool) -> _Losses:
    """Return the losses of a layer; the association is None for that of Equation 3."""
    if target.positions and options.association == "auto":
        return _Losses(AnswerLoss(target), None)  # every exit answers by itself
    association = _association(options.association, target)
    if target.positions:
        return _Losses(
            at_positions(association, detach_target=options.detach_target),
            reconstruction_of_rows(target, first=first),
        )
    return _Losses(association, target.loss if first else autoencoder_loss)


def _association(chosen: Association, target: Target) -> LocalLoss | None:
    if chosen != "auto":
        if not (chosen is None or callable(chosen)):
            raise InputError(f"association={chosen!r} came; expected auto, None or a function.")
        return chosen
    return contrastive_loss if isinstance(target, Classes) else None


def _with_positions(
    made: Partners, options: ALOptions, target: Target, resize: nn.Module | None, *, first: bool
) -> Partners:
    """Return b, g and h for targets with positions; b ends with the positions of y."""
    if options.association == "auto":
        made = Partners(made.b, nn.Identity(), nn.Identity())
    else:
        made = coded_by_rows(made, target, first=first)
    return made if resize is None else made._replace(b=nn.Sequential(made.b, resize))


def _own_partners(options: ALOptions, target: Target, *, first: bool) -> MakePartners:
    """Return what makes b, g and h; ``h_1`` gives logits or real values, if y is not bounded."""
    activation, bias = options.activation, options.bias
    answers = bool(target.positions) and options.association == "auto"
    nonlinear = target.bounded_output if first else not options.linear_decoders
    h_activation = (options.decoder_activation or activation) if nonlinear else None

    def make(width: int, below: int, latent: int) -> Partners:
        b = make_bridge(
            width,
            latent,
            kind=options.bridge,
            activation=activation,
            hidden=options.bridge_hidden,
            bias=bias,
            bounded=not answers,
        )
        if answers:  # before coders of a whole vocabulary would be made
            return Partners(b, nn.Identity(), nn.Identity())
        return Partners(
            b,
            make_coder(below, latent, activation, bias=bias),
            make_coder(latent, below, h_activation, bias=bias),
        )

    return make

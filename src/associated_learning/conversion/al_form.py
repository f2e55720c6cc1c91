"""Algorithm 1 for a list of encoders: insert b, g and h beside each and return an AL network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from typing_extensions import Unpack

from associated_learning.conversion.chosen_loss import chosen_loss
from associated_learning.conversion.fixed_coders import check_coders, fixed_coders
from associated_learning.conversion.input_decoders import add_input_decoders
from associated_learning.conversion.list_readouts import Readouts, readouts_for
from associated_learning.conversion.lookahead import (
    check_momentum,
    check_no_writes,
    lookahead,
    seen_layers,
)
from associated_learning.conversion.options import (
    ALKeywords,
    ALOptions,
    flat,
    with_keywords,
)
from associated_learning.conversion.overlap import add_overlaps
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
from associated_learning.layer import ALLayer, Answer, one_for_each
from associated_learning.losses.equation3 import autoencoder_loss
from associated_learning.losses.table import PairLoss
from associated_learning.network import ALNetwork
from associated_learning.targets import Target
from associated_learning.targets.answer_loss import AnswerLoss
from associated_learning.tensors.chain import encodings
from associated_learning.tensors.devices import device_of
from associated_learning.tensors.modes import evaluating

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
    readouts, widths, resizes = _seen(
        encoders, example, readouts_for(encoders, example, options.readout, target), options
    )
    layers = al_layers(encoders, target, readouts, widths, options, resizes=resizes)
    add_input_decoders(layers, example, options.input_loss)
    if options.overlap:
        add_overlaps(layers)
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
    check_coders(options, target, widths[1:])
    check_momentum(options)
    made = [
        _partners(make, options, target, resize, first=i == 0)(
            read_widths[i], widths[i], widths[i + 1]
        )
        for i, (make, resize) in enumerate(
            zip(partners or [None] * count, resizes or [None] * count, strict=True)
        )
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


def _seen(encoders: list[nn.Module], example: Any, own: Readouts, options: ALOptions) -> Readouts:
    """Return what bridges read: each layer's own readout, or one further up behind copies."""
    seen = seen_layers(len(encoders), options)
    if options.bridge == "block" or options.overlap:
        check_no_writes(encoders, example)
    activations = _activations(encoders, example) if options.bridge_select == "uniform" else []
    modules = [
        lookahead(i, encoders, own.modules, options, activations) for i in range(len(encoders))
    ]
    return Readouts(modules, [own.widths[k] for k in seen], [own.resizes[k] for k in seen])


def _activations(encoders: list[nn.Module], example: Any) -> list[Any]:
    with evaluating(nn.ModuleList(encoders)), torch.no_grad():
        return list(encodings(encoders, example))


def latent_widths(options: ALOptions, count: int, target: Target | None) -> list[int]:
    """Return ``D_1 .. D_L``: those that are wished for, or y's own where every exit answers it.

    Raises:
        InputError: A list has not one entry for each layer, or y is needed and not known.
    """
    if not chosen_loss(options.association, target).autoencoders:
        if target is None:
            raise InputError(
                f"association={options.association!r} came without a target, which tells how many "
                "outputs its bridges have; pass target=, what y is."
            )
        return [target.size] * count
    return one_for_each("values of latent", options.latent, count)


class _Losses(NamedTuple):
    association: PairLoss | None
    reconstruction: PairLoss | None


def _losses(options: ALOptions, target: Target, *, first: bool) -> _Losses:
    """Return the losses of a layer; the association is None for that of Equation 3."""
    chosen = chosen_loss(options.association, target)
    association = chosen.make(AnswerLoss(target))
    if not chosen.autoencoders or options.coders != "learned":
        return _Losses(association, None)
    if target.positions:
        return _Losses(
            at_positions(association, detach_target=options.detach_target),
            reconstruction_of_rows(target, first=first),
        )
    return _Losses(association, target.loss if first else autoencoder_loss)


def _partners(
    make: MakePartners | None,
    options: ALOptions,
    target: Target,
    resize: nn.Module | None,
    *,
    first: bool,
) -> MakePartners:
    """Return what makes b, g and h of a layer.

    Args:
        make: A function of the user's that does it, or None.
        options: What the user wishes.
        target: What y is.
        resize: What a bridge ends with where it has to bring its positions to those of y.
        first: Whether they are those of the first layer.
    """
    chosen = chosen_loss(options.association, target)

    def made(width: int, below: int, latent: int) -> Partners:
        if not chosen.autoencoders:
            whole = latent + chosen.features
            b = (
                make(width, below, whole).b
                if make
                else _bridge(options, width, whole, answers=True)
            )
            h = Answer(latent) if chosen.features else nn.Identity()
            partners = Partners(b, nn.Identity(), h)
        else:
            partners = (make or _own_partners(options, target, first=first))(width, below, latent)
            if options.coders != "learned":
                partners = Partners(partners.b, *fixed_coders(target, latent, first=first))
            if target.positions:
                partners = coded_by_rows(partners, target, first=first)
        if resize is None:
            return partners
        return partners._replace(b=nn.Sequential(partners.b, resize))

    return made


def _bridge(options: ALOptions, width: int, out: int, *, answers: bool) -> nn.Module:
    return make_bridge(
        width,
        out,
        kind=options.bridge,
        activation=options.activation,
        hidden=options.bridge_hidden,
        bias=options.bias,
        bounded=not answers,
    )


def _own_partners(options: ALOptions, target: Target, *, first: bool) -> MakePartners:
    """Return what makes b, g and h; ``h_1`` gives logits or real values, if y is not bounded."""
    activation, bias = options.activation, options.bias
    nonlinear = target.bounded_output if first else not options.linear_decoders
    h_activation = (options.decoder_activation or activation) if nonlinear else None

    def make(width: int, below: int, latent: int) -> Partners:
        return Partners(
            _bridge(options, width, latent, answers=False),
            make_coder(below, latent, activation, bias=bias),
            make_coder(latent, below, h_activation, bias=bias),
        )

    return make

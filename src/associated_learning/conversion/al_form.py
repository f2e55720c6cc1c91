"""Algorithm 1 for a list of encoders: insert b, g and h beside each and return an AL network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

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
from associated_learning.conversion.readouts import read_tensor
from associated_learning.errors import InputError
from associated_learning.layer import ALLayer, PerLayer, one_for_each
from associated_learning.losses.contrast import contrastive_loss
from associated_learning.losses.equation3 import autoencoder_loss
from associated_learning.models.readouts import MaskedMean
from associated_learning.network import ALNetwork
from associated_learning.targets import Classes, Target
from associated_learning.tensors.batch_checks import check_finite
from associated_learning.tensors.chain import encodings
from associated_learning.tensors.devices import device_of
from associated_learning.tensors.modes import evaluating
from associated_learning.tensors.padded_sequence import PaddedSequence

__all__ = ["al_form", "al_layers", "measured_width", "readouts_for"]


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
    readouts, widths = readouts_for(encoders, example, options.readout)
    return ALNetwork(al_layers(encoders, target, readouts, widths, options), target)


def al_layers(
    encoders: Sequence[nn.Module],
    target: Target,
    readouts: Sequence[nn.Module],
    read_widths: Sequence[int],
    options: ALOptions,
    partners: Sequence[MakePartners | None] | None = None,
) -> list[ALLayer]:
    """Return the layers that `al_form` makes a network of.

    Args:
        encoders: ``f_1 .. f_L``.
        target: What y is.
        readouts: One for each layer.
        read_widths: Widths of the vectors that they give.
        options: All else.
        partners: For each layer what makes b, g and h instead, or None.
    """
    count, association = len(encoders), _association(options.association, target)
    widths = [target.size, *one_for_each("values of latent", options.latent, count)]
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
    layers = [
        ALLayer(
            f,
            *made[i],
            readout=readouts[i],
            reconstruction=target.loss if i == 0 else autoencoder_loss,
            association=association,
            detach_target=options.detach_target,
            use_associated=associated[i],
            stop_gradients=stops[i],
        )
        for i, f in enumerate(encoders)
    ]
    for layer in layers:
        layer.to(device_of(layer.f))
    return layers


def _association(chosen: Association, target: Target) -> LocalLoss | None:
    """Return the loss of the bridges; None for that of Equation 3."""
    if chosen != "auto":
        if not (chosen is None or callable(chosen)):
            raise InputError(f"association={chosen!r} came; expected auto, None or a function.")
        return chosen
    return contrastive_loss if isinstance(target, Classes) else None


def _own_partners(options: ALOptions, target: Target, *, first: bool) -> MakePartners:
    """Return what makes b, g and h; ``h_1`` gives logits or real values, if y is not bounded."""
    activation, bias = options.activation, options.bias
    nonlinear = target.bounded_output if first else not options.linear_decoders
    h_activation = (options.decoder_activation or activation) if nonlinear else None

    def make(width: int, below: int, latent: int) -> Partners:
        return Partners(
            make_bridge(
                width,
                latent,
                kind=options.bridge,
                activation=activation,
                hidden=options.bridge_hidden,
                bias=bias,
            ),
            make_coder(below, latent, activation, bias=bias),
            make_coder(latent, below, h_activation, bias=bias),
        )

    return make


def readouts_for(
    encoders: list[nn.Module], example: Any, readout: PerLayer[nn.Module] | None
) -> tuple[list[nn.Module], list[int]]:
    """Return each layer's readout and the width it gives, measured on the example.

    Raises:
        InputError: No encoder came, or the example does not pass through.
    """
    if not encoders:
        raise InputError("no encoders came to convert; expected at least one module.")
    check_finite(example, "example")
    given = one_for_each("readouts", readout, len(encoders))
    readouts, widths, activations = [], [], encodings(encoders, example)
    for i, (f, module) in enumerate(zip(encoders, given, strict=True), start=1):
        with evaluating(f):
            try:
                s = next(activations)
            except (RuntimeError, TypeError, ValueError, AttributeError, IndexError) as error:
                raise InputError(f"encoder {i} ({type(f).__name__}) fails: {error}") from error
        chosen = _choose_readout(s) if module is None else module
        readouts.append(chosen)
        widths.append(measured_width(i, chosen, s))
    return readouts, widths


def measured_width(i: int, readout: nn.Module, s: Any) -> int:
    """Return the width W of what a layer's readout gives.

    Raises:
        InputError: It is no vector a sample.
    """
    if not isinstance(readout, nn.Module):
        raise InputError(f"readout {readout!r} came for layer {i}; expected a module.")
    with torch.no_grad():
        read = readout(s)
    if not isinstance(read, Tensor) or read.dim() != 2:
        shape = list(read.shape) if isinstance(read, Tensor) else type(read).__name__
        raise InputError(
            f"the readout of layer {i} returns {shape}; expected a vector a sample, [B, W]."
        )
    return read.shape[1]


def _choose_readout(s: Any) -> nn.Module:
    """Choose how ``s_i`` becomes a vector: the masked mean of sequences, a grid of images."""
    if isinstance(s, PaddedSequence):
        return MaskedMean()
    if isinstance(s, Tensor) and s.dim() in (2, 4):
        return read_tensor(s, axis=1).module
    shape = list(s.shape) if isinstance(s, Tensor) else type(s).__name__
    raise InputError(
        f"no readout is known for an activation of {shape}; expected a PaddedSequence, "
        "[B, C, H, W] or [B, D]. Pass readout=, a module that returns a vector a sample."
    )

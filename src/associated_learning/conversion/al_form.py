"""Algorithm 1 for a list of encoders: insert b, g and h beside each and return an AL network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from associated_learning.conversion.partners import (
    BridgeKind,
    MakePartners,
    Partners,
    make_bridge,
    make_coder,
)
from associated_learning.conversion.readouts import read_tensor
from associated_learning.errors import InputError
from associated_learning.layer import ALLayer
from associated_learning.losses.equation3 import autoencoder_loss
from associated_learning.models.activations import Activation
from associated_learning.models.readouts import MaskedMean
from associated_learning.network import ALNetwork
from associated_learning.targets import Target
from associated_learning.tensors.batch_checks import check_finite
from associated_learning.tensors.devices import device_of
from associated_learning.tensors.modes import evaluating
from associated_learning.tensors.padded_sequence import PaddedSequence

__all__ = ["al_form", "al_layers", "measured_width", "one_a_layer", "readouts_for"]

T = TypeVar("T")
Loss = Callable[[Tensor, Tensor], Tensor]


def al_form(
    encoders: Iterable[nn.Module],
    example: Any,
    target: Target,
    *,
    latent: int | Sequence[int] = 128,
    readout: nn.Module | Sequence[nn.Module] | None = None,
    bridge: BridgeKind = "linear",
    bridge_hidden: int = 1280,
    activation: Activation = "tanh",
    decoder_activation: Activation | None = None,
    linear_decoders: bool = False,
    bias: bool = True,
    association: Loss | None = None,
    detach_target: bool = True,
    stop_gradients: bool | Sequence[bool] = True,
    use_associated: bool | Sequence[bool] = True,
) -> ALNetwork:
    """Convert a list of encoders to AL form (Algorithm 1).

    The encoders are used as they are, not copied; a classifier on top is left out.

    Args:
        encoders: ``f_1 .. f_L``; each takes what the one before it returns.
        example: A batch of inputs, only looked at for its shapes.
        target: What y is.
        latent: ``D_1 .. D_L``, the widths of the latents t (Tables 7 and 8: 128), or one for
            all.
        readout: From each ``s_i`` to a vector: a module for each layer, or one for all (it
            must then hold no parameters). By default the masked mean for sequences (section
            2.1.1) and the means of a grid for images, so that bridges stay small.
        bridge: See `make_bridge`.
        bridge_hidden: Width between the two maps of an "mlp" bridge.
        activation: Nonlinearity of g and h, and of the bridges that have one (tanh in section
            2.1; sigmoid in the released image code). ``h_1`` has none where it gives logits.
        decoder_activation: Nonlinearity of h, if it is not that of g.
        linear_decoders: True gives ``h_2 .. h_L`` no nonlinearity (the later released code).
        bias: Whether b, g and h have biases.
        association: Loss of ``b_i(s_i)`` against ``t_i`` in the place of Equation 3's, such as
            `contrastive_loss`.
        detach_target: See `associated_loss`: False lets g learn from the associated loss.
        stop_gradients: See `ALLayer`; one for each layer, or one for all.
        use_associated: See `ALLayer`; one for each layer, or one for all.

    Raises:
        InputError: No encoder came, the example does not pass through the encoders, or a list
            has not one entry for each layer.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> encoders = [nn.Sequential(nn.Linear(4, 8), nn.ReLU()), nn.Linear(8, 8)]
        >>> net = al.al_form(encoders, torch.randn(2, 4), al.Classes(3), latent=16)
        >>> net.num_layers, net(torch.randn(5, 4), depth=1).shape
        (2, torch.Size([5, 3]))
    """
    encoders = list(encoders)
    readouts, widths = readouts_for(encoders, example, readout)
    layers = al_layers(
        encoders,
        target,
        readouts,
        widths,
        latent=latent,
        bridge=bridge,
        bridge_hidden=bridge_hidden,
        activation=activation,
        decoder_activation=decoder_activation,
        linear_decoders=linear_decoders,
        bias=bias,
        association=association,
        detach_target=detach_target,
        stop_gradients=stop_gradients,
        use_associated=use_associated,
    )
    return ALNetwork(layers, target)


def al_layers(
    encoders: Sequence[nn.Module],
    target: Target,
    readouts: Sequence[nn.Module],
    read_widths: Sequence[int],
    *,
    latent: int | Sequence[int],
    bridge: BridgeKind,
    bridge_hidden: int,
    activation: Activation,
    decoder_activation: Activation | None,
    linear_decoders: bool,
    bias: bool,
    association: Loss | None = None,
    detach_target: bool,
    stop_gradients: bool | Sequence[bool] = True,
    use_associated: bool | Sequence[bool] = True,
    partners: Sequence[MakePartners | None] | None = None,
) -> list[ALLayer]:
    """Return the layers that `al_form` makes a network of.

    The arguments are those of `al_form`, but that the readouts are known, with the width of the
    vector that each gives; ``partners`` holds, for each layer, what makes b, g and h instead, or
    None.
    """
    count = len(encoders)
    widths = [target.size, *one_a_layer("latent", latent, count)]
    stops = one_a_layer("stop_gradients", stop_gradients, count)
    associated = one_a_layer("use_associated", use_associated, count)
    if not all(isinstance(width, int) and width > 0 for width in widths):
        raise InputError(f"latent widths {widths[1:]} came; expected whole numbers above 0.")
    h_activations = _decoder_activations(
        count, target, decoder_activation or activation, linear_decoders
    )
    made = [
        Partners(
            make_bridge(
                read_widths[i],
                widths[i + 1],
                kind=bridge,
                activation=activation,
                hidden=bridge_hidden,
                bias=bias,
            ),
            make_coder(widths[i], widths[i + 1], activation, bias=bias),
            make_coder(widths[i + 1], widths[i], h_activations[i], bias=bias),
        )
        if make is None
        else make(read_widths[i], widths[i], widths[i + 1])
        for i, make in enumerate(partners or [None] * count)
    ]
    layers = [
        ALLayer(
            f,
            *made[i],
            readout=readouts[i],
            reconstruction=target.loss if i == 0 else autoencoder_loss,
            association=association,
            detach_target=detach_target,
            use_associated=associated[i],
            stop_gradients=stops[i],
        )
        for i, f in enumerate(encoders)
    ]
    for layer in layers:
        layer.to(device_of(layer.f))
    return layers


def _decoder_activations(
    count: int, target: Target, activation: Activation, linear: bool
) -> list[Activation | None]:
    """Return the nonlinearities of ``h_1 .. h_L``; ``h_1`` gives logits or real values."""
    first = activation if target.bounded_output else None
    above = None if linear else activation
    return [first] + [above] * (count - 1)


def one_a_layer(name: str, value: T | Sequence[T], count: int) -> list[T]:
    """Return ``count`` values: those of a list, or one value for all."""
    if not isinstance(value, (list, tuple)):
        return [value] * count  # type: ignore[list-item]
    if len(value) != count:
        raise InputError(f"{len(value)} values came for {name}; expected {count}, one a layer.")
    return list(value)


def readouts_for(
    encoders: list[nn.Module], example: Any, readout: nn.Module | Sequence[nn.Module] | None
) -> tuple[list[nn.Module], list[int]]:
    """Return each layer's readout and the width it gives, measured on the example.

    Raises:
        InputError: No encoder came, or the example does not pass through.
    """
    if not encoders:
        raise InputError("no encoders came to convert; expected at least one module.")
    check_finite(example, "example")
    given = one_a_layer("readout", readout, len(encoders))
    readouts, widths, s = [], [], example
    for i, (f, module) in enumerate(zip(encoders, given, strict=True), start=1):
        with evaluating(f):
            try:
                s = f(s)
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

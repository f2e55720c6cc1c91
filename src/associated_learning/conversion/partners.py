"""The functions that Algorithm 1 adds to an encoder: readout, bridge b, autoencoder g and h."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeVar, get_args

import torch
from torch import nn

from associated_learning.errors import InputError
from associated_learning.models.activations import Activation, make_activation

__all__ = [
    "BridgeKind",
    "MakePartners",
    "Partners",
    "bridge_size",
    "make_bridge",
    "make_coder",
    "partners_for",
    "register_partners",
]

BridgeKind = Literal["linear", "activated", "mlp", "block"]


class Partners(NamedTuple):
    """What Algorithm 1 adds to an encoder, for widths W of the readout and D of the latents.

    Attributes:
        b: Bridge, ``[B, W] -> [B, D_i]``.
        g: Encoder of the target, ``[B, D_{i-1}] -> [B, D_i]``.
        h: Decoder of the target, ``[B, D_i] -> [B, D_{i-1}]``.

    Example:
        See `register_partners`, whose functions return them.

        >>> from torch import nn
        >>> Partners(b=nn.Linear(8, 5), g=nn.Linear(3, 5), h=nn.Linear(5, 3)).g
        Linear(in_features=3, out_features=5, bias=True)
    """

    b: nn.Module
    g: nn.Module
    h: nn.Module


MakePartners = Callable[[int, int, int], Partners]
T = TypeVar("T", bound=MakePartners)
_registered: dict[type[nn.Module], MakePartners] = {}


def register_partners(*kinds: type[nn.Module]) -> Callable[[T], T]:
    """Make your own b, g and h beside modules of your own type.

    The decorated function gets the width of the readout, ``D_{i-1}`` and ``D_i``, and returns
    `Partners`. `convert` calls it for every layer whose activation was made by a module of one of
    ``kinds``; the latest registration counts.

    Args:
        kinds: Types of modules, with the types derived from them.

    Returns:
        A decorator that gives the function back.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> class Wide(nn.Linear):
        ...     pass
        >>> @al.register_partners(Wide)
        ... def with_dropout(width, below, latent):
        ...     b = nn.Sequential(nn.Dropout(0.1), nn.Linear(width, latent))
        ...     return al.Partners(b, nn.Linear(below, latent), nn.Linear(latent, below))
        >>> model = nn.Sequential(Wide(4, 8), nn.Linear(8, 8), nn.Linear(8, 2))
        >>> net = al.convert(model, torch.randn(2, 4), target=al.Classes(2), at=["1"])
        >>> type(net.layers[0].b).__name__, type(net.layers[1].b).__name__
        ('Sequential', 'Linear')
    """

    def register(function: T) -> T:
        for kind in kinds:
            _registered[kind] = function
        return function

    return register


def partners_for(module: nn.Module | None) -> MakePartners | None:
    """Return the function registered for a module's type or the nearest type above it."""
    return next((_registered[kind] for kind in type(module).__mro__ if kind in _registered), None)


def bridge_size(
    width: int, latent: int, kind: BridgeKind, hidden: int, make: MakePartners | None
) -> int:
    """Return the number of parameters that a bridge will have."""
    with torch.device("meta"):
        if make is not None:
            b = make(width, latent, latent).b
        else:
            b = make_bridge(width, latent, kind=kind, hidden=hidden)
    return sum(parameter.numel() for parameter in b.parameters())


def make_bridge(
    in_features: int,
    out_features: int,
    *,
    kind: BridgeKind = "linear",
    activation: Activation = "tanh",
    hidden: int = 1280,
    bias: bool = True,
    bounded: bool = True,
) -> nn.Module:
    """Make a bridge ``b_i`` from the readout's width to the latent's.

    Args:
        in_features: Width of the readout.
        out_features: ``D_i``.
        kind: "linear" (section 2.1), "activated" (a linear map and the activation: the
            released PyTorch code), "mlp" (two linear maps, each with the activation: the
            released TensorFlow code) or "block" (linear; what it reads comes from a copy of
            the next block, see `ALOptions`).
        activation: Its name, its class, or a function that makes one.
        hidden: Width between the two maps of "mlp".
        bias: Whether the linear maps have a bias.
        bounded: False leaves out the last activation, of a bridge that answers by itself.
    """
    last = [make_activation(activation)] if bounded and kind in ("activated", "mlp") else []
    if kind in ("linear", "activated", "block"):
        linear = nn.Linear(in_features, out_features, bias=bias)
        return nn.Sequential(linear, *last) if last else linear
    if kind == "mlp":
        first = nn.Linear(in_features, hidden, bias=bias)
        second = nn.Linear(hidden, out_features, bias=bias)
        return nn.Sequential(first, make_activation(activation), second, *last)
    raise InputError(f"bridge {kind!r} came; expected one of {', '.join(get_args(BridgeKind))}.")


def make_coder(
    in_features: int, out_features: int, activation: Activation | None, *, bias: bool = True
) -> nn.Module:
    """Make a ``g_i`` or ``h_i``: a linear map and a nonlinearity (section 2.1), if one is given."""
    linear = nn.Linear(in_features, out_features, bias=bias)
    return linear if activation is None else nn.Sequential(linear, make_activation(activation))

"""The functions that Algorithm 1 adds to an encoder: readout, bridge b, autoencoder g and h."""

from __future__ import annotations

from typing import Any, Literal, get_args

from torch import Tensor, nn

from associated_learning.errors import InputError
from associated_learning.models.activations import Activation, make_activation
from associated_learning.models.readouts import GlobalAverage, MaskedMean
from associated_learning.sequence import Sequence

__all__ = ["BridgeKind", "choose_readout", "make_bridge", "make_coder"]

BridgeKind = Literal["linear", "activated", "mlp"]


def make_bridge(
    in_features: int,
    out_features: int,
    *,
    kind: BridgeKind = "linear",
    activation: Activation = "tanh",
    hidden: int = 1280,
    bias: bool = True,
) -> nn.Module:
    """Make a bridge ``b_i`` from the readout's width to the latent's.

    Args:
        in_features: Width of the readout.
        out_features: ``D_i``.
        kind: "linear" (section 2.1), "activated" (a linear map and the activation: the
            released PyTorch code) or "mlp" (two linear maps, each with the activation: the
            released TensorFlow code).
        activation: Its name, its class, or a function that makes one.
        hidden: Width between the two maps of "mlp".
        bias: Whether the linear maps have a bias.
    """
    if kind == "linear":
        return nn.Linear(in_features, out_features, bias=bias)
    if kind == "activated":
        return nn.Sequential(
            nn.Linear(in_features, out_features, bias=bias), make_activation(activation)
        )
    if kind == "mlp":
        first = nn.Linear(in_features, hidden, bias=bias)
        second = nn.Linear(hidden, out_features, bias=bias)
        return nn.Sequential(
            first, make_activation(activation), second, make_activation(activation)
        )
    raise InputError(f"bridge {kind!r} came; expected one of {', '.join(get_args(BridgeKind))}.")


def make_coder(
    in_features: int, out_features: int, activation: Activation | None, *, bias: bool = True
) -> nn.Module:
    """Make a ``g_i`` or ``h_i``: a linear map and a nonlinearity (section 2.1), if one is given."""
    linear = nn.Linear(in_features, out_features, bias=bias)
    return linear if activation is None else nn.Sequential(linear, make_activation(activation))


def choose_readout(s: Any) -> nn.Module:
    """Choose how ``s_i`` becomes a vector: masked mean for sequences, average for images.

    Args:
        s: An example of ``s_i``.
    """
    if isinstance(s, Sequence):
        return MaskedMean()
    if isinstance(s, Tensor) and s.dim() == 4:
        return GlobalAverage()
    if isinstance(s, Tensor) and s.dim() == 2:
        return nn.Identity()
    shape = list(s.shape) if isinstance(s, Tensor) else type(s).__name__
    raise InputError(
        f"no readout is known for an activation of {shape}; expected a Sequence, [B, C, H, W] or "
        "[B, D]. Pass readout=, a module that returns a vector a sample."
    )

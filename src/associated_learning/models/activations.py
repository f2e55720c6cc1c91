"""Activations by name, so that a run's configuration can hold them."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from associated_learning.errors import InputError, nearest

__all__ = ["Activation", "make_activation"]

Activation = str | Callable[[], nn.Module]

_BY_NAME: dict[str, Callable[[], nn.Module]] = {
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


def make_activation(activation: Activation) -> nn.Module:
    """Return a new activation module from its name, its class or any function making one.

    Raises:
        InputError: The name is unknown; the message suggests the nearest.

    Example:
        >>> make_activation("elu")
        ELU(alpha=1.0)
    """
    if not isinstance(activation, str):
        return activation()
    if activation not in _BY_NAME:
        raise InputError(
            f"activation {activation!r} came; expected one of {', '.join(sorted(_BY_NAME))}, or "
            f"what makes a module.{nearest(activation, _BY_NAME, cutoff=0.6)}"
        )
    return _BY_NAME[activation]()

"""Activations by name, so that a run's configuration can hold them."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from torch import nn

from associated_learning.errors import InputError

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
        nearest = difflib.get_close_matches(activation, _BY_NAME, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"choose from {sorted(_BY_NAME)}."
        raise InputError(f"Unknown activation {activation!r}: {hint}")
    return _BY_NAME[activation]()

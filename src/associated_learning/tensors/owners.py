"""Whose a tensor is: what two layers hold, both would change."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from associated_learning.errors import InputError

__all__ = ["check_owners"]


def check_owners(layers: Iterable[nn.Module]) -> None:
    """Refuse layers of which two hold the same parameter or buffer.

    Raises:
        InputError: It tells which tensor, and whose it is too.
    """
    owners: dict[int, int] = {}
    for i, layer in enumerate(layers, start=1):
        for name, tensor in (*layer.named_parameters(), *layer.named_buffers()):
            other = owners.setdefault(id(tensor), i)
            if other != i:
                raise InputError(
                    f"{name} of layer {i} belongs to layer {other} too, so both would change it; "
                    "give each layer its own copy."
                )

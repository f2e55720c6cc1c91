"""What stands before a block that is called without those below it: brings s to its form."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from associated_learning.tensors.nested import tensors_in
from associated_learning.tensors.padded_sequence import PaddedSequence, activation_values

__all__ = ["Adapter", "adapter_between"]


class Adapter(nn.Module):
    """A map of the values of an activation, whatever else it holds left as it is.

    Args:
        change: From the values that come to those that are wanted.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> Adapter(nn.Linear(4, 8))(torch.randn(2, 4)).shape
        torch.Size([2, 8])
    """

    def __init__(self, change: nn.Module) -> None:
        super().__init__()
        self.change = change

    def forward(self, s: Any) -> Any:
        """Return ``s`` with other values."""
        if isinstance(s, Tensor):
            return self.change(s)
        return s._replace(values=self.change(s.values))


def adapter_between(s: Any, wanted: Any) -> nn.Module | None:
    """Return what gives one activation the form of another; None where nothing can.

    A linear map of vectors or tokens, a 1 x 1 convolution of images and means over squares of
    pixels; nothing is changed where the forms are the same.
    """
    if [t.shape for t in tensors_in(s)] == [t.shape for t in tensors_in(wanted)]:
        return nn.Identity()
    old, new = activation_values(s), activation_values(wanted)
    if isinstance(s, PaddedSequence) or old.dim() == new.dim() == 2:
        if old.shape[:-1] != new.shape[:-1]:
            return None
        return _like(Adapter(nn.Linear(old.shape[-1], new.shape[-1])), new)
    if not old.dim() == new.dim() == 4:
        return None
    side = max(-(-old.shape[2] // new.shape[2]), 1)
    pool = nn.AvgPool2d(side, ceil_mode=True) if side > 1 else nn.Identity()
    with torch.no_grad():
        if pool(old).shape[2:] != new.shape[2:]:
            return None
    channels = nn.Conv2d(old.shape[1], new.shape[1], 1)
    return _like(Adapter(nn.Sequential(pool, channels)), new)


def _like(adapter: nn.Module, values: Tensor) -> nn.Module:
    return adapter.to(device=values.device, dtype=values.dtype)

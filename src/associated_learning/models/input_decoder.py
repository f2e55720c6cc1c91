"""What a layer reconstructs its own input with, in training alone."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from associated_learning.tensors.padded_sequence import PaddedSequence, activation_values

__all__ = ["ImageDecoder", "InputDecoder"]


class InputDecoder(nn.Module):
    r"""The share of a layer's input that cannot be told from its output, times a weight.

    .. math::
        \lambda \, \frac{\|d_i(s_i) - s_{i-1}\|^2}{\|s_{i-1} - \bar s_{i-1}\|^2}

    1 without a weight where nothing is told, and 0 where all is. Only positions before the padding
    count.

    Args:
        decode: ``d_i``: from the values of ``s_i`` to those of ``s_{i-1}``; of images also with
            the size to give.
        weight: :math:`\lambda`.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> decoder = InputDecoder(nn.Identity(), weight=0.5)
        >>> s = torch.randn(4, 3)
        >>> decoder(s, s).item(), round(decoder(s.mean().expand(4, 3), s).item(), 4)
        (0.0, 0.5)
    """

    def __init__(self, decode: nn.Module, weight: float) -> None:
        super().__init__()
        self.decode = decode
        self.weight = weight

    def forward(self, s: Any, before: Any) -> Tensor:
        """Return the loss, a scalar.

        Args:
            s: ``s_i``.
            before: ``s_{i-1}``, which gets no gradient.
        """
        values, wanted = activation_values(s), activation_values(before).detach()
        size = wanted.shape[2:]
        told = self.decode(values, size) if wanted.dim() == 4 else self.decode(values)
        if isinstance(before, PaddedSequence):
            told, wanted = told[before.mask()], wanted[before.mask()]
        with torch.autocast(told.device.type, enabled=False):
            dtype = torch.promote_types(told.dtype, torch.float32)
            told, wanted = told.to(dtype), wanted.to(dtype)
            spread = (wanted - wanted.mean()).square().mean()
            return self.weight * F.mse_loss(told, wanted) / spread.clamp(min=1e-6)


class ImageDecoder(nn.Module):
    """Two 3 x 3 convolutions, between which the map grows to the size of what is told.

    Args:
        channels: Of the map.
        told: Channels of what is told.
        hidden: Channels between them.

    Example:
        >>> import torch
        >>> ImageDecoder(8, 3)(torch.zeros(2, 8, 4, 4), [7, 7]).shape
        torch.Size([2, 3, 7, 7])
    """

    def __init__(self, channels: int, told: int, hidden: int = 32) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, hidden, 3, padding=1)
        self.second = nn.Conv2d(hidden, told, 3, padding=1)

    def forward(self, s: Tensor, size: list[int]) -> Tensor:
        """Return ``[B, told, *size]``."""
        # not bilinear, whose gradient on a GPU is added up in any order
        told: Tensor = self.second(F.interpolate(self.first(s).relu(), size=size))
        return told

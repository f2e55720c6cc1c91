"""From the positions that a network keeps to those of the targets."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Resized"]

_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


class Resized(nn.Module):
    """Positions by (bi)linear interpolation: ``[B, *P, D]`` to ``[B, *Q, D]``.

    Args:
        scale: ``Q / P`` of each axis of positions.

    Example:
        >>> import torch
        >>> Resized([2, 4])(torch.zeros(1, 3, 5, 7)).shape
        torch.Size([1, 6, 20, 7])
    """

    def __init__(self, scale: Sequence[float]) -> None:
        super().__init__()
        self.scale = tuple(scale)

    def forward(self, s: Tensor) -> Tensor:
        """Return ``[B, *Q, D]``."""
        sizes = s.shape[1:-1]
        wanted = [round(size * factor) for size, factor in zip(sizes, self.scale, strict=True)]
        resized = F.interpolate(s.movedim(-1, 1), wanted, mode=_MODES[len(wanted)])
        return resized.movedim(1, -1)

    def extra_repr(self) -> str:
        """Return the scale for printing."""
        return f"scale={self.scale}"

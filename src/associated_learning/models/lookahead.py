"""What a lookahead bridge reads: a layer's activation after private copies of the next blocks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from associated_learning.tensors.chain import encode

__all__ = ["Lookahead"]


class Lookahead(nn.Module):
    """A readout behind blocks of its own: ``s_i`` to the vector that ``b_i`` takes.

    Args:
        blocks: Copies of the blocks that follow; this layer alone trains them.
        readout: From what the last of them gives to ``[B, W]``, or ``[B, *P, W]``.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> read = Lookahead([nn.Linear(4, 8), nn.Linear(8, 6)], nn.Identity())
        >>> read(torch.randn(2, 4)).shape
        torch.Size([2, 6])
    """

    def __init__(self, blocks: Iterable[nn.Module], readout: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.readout = readout

    def forward(self, s: Any) -> Tensor:
        """Return ``[B, W]``, or ``[B, *P, W]``."""
        vector: Tensor = self.readout(encode(self.blocks, s))
        return vector

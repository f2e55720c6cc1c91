"""What a lookahead bridge reads: a layer's activation after private copies of later blocks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

__all__ = ["Lookahead"]


class Lookahead(nn.Module):
    """A readout behind blocks of its own: ``s_i`` to the vector that ``b_i`` takes.

    Args:
        blocks: Copies of blocks that follow; this layer alone trains them.
        readout: From what the last of them gives to ``[B, W]``, or ``[B, *P, W]``.
        adapters: What stands before each block, where it does not follow what is before it.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> read = Lookahead([nn.Linear(4, 8), nn.Linear(8, 6)], nn.Identity())
        >>> read(torch.randn(2, 4)).shape
        torch.Size([2, 6])
    """

    def __init__(
        self,
        blocks: Iterable[nn.Module],
        readout: nn.Module,
        adapters: Iterable[nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.readout = readout
        self.adapters = nn.ModuleList(adapters or [nn.Identity() for _ in self.blocks])

    def forward(self, s: Any) -> Tensor:
        """Return ``[B, W]``, or ``[B, *P, W]``."""
        for adapter, block in zip(self.adapters, self.blocks, strict=True):
            s = block(adapter(s))
        vector: Tensor = self.readout(s)
        return vector

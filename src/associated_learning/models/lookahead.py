"""What a lookahead bridge reads: a layer's activation after private copies of later blocks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Lookahead"]


class Lookahead(nn.Module):
    """A readout behind blocks of its own: ``s_i`` to the vector that ``b_i`` takes.

    Args:
        blocks: Copies of blocks that follow; this layer alone trains them.
        readout: From what the last of them gives to ``[B, W]``, or ``[B, *P, W]``.
        adapters: What stands before each block, where it does not follow what is before it.
        momentum: Share of their weights that the blocks keep at each update, where they `follow`
            the layers which they are copies of; None where they do not.
        offsets: How far above this layer each of those is; needed with a momentum.

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
        *,
        momentum: float | None = None,
        offsets: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.readout = readout
        self.adapters = nn.ModuleList(adapters or [nn.Identity() for _ in self.blocks])
        self.momentum = momentum
        self.offsets = tuple(offsets)

    @torch.no_grad()
    def follow(self, blocks: Sequence[nn.Module]) -> None:
        r"""Move the weights of the copies towards those of the blocks that they are copies of.

        The moving average of momentum auxiliary networks (Su et al., 2024), where
        :math:`\theta'` are the weights of a copy and m is the momentum; with m = 0 the copies are
        what the blocks are.

        .. math::
            \theta' \leftarrow m\, \theta' + (1 - m)\, \theta
        """
        assert self.momentum is not None
        for copy, block in zip(self.blocks, blocks, strict=True):
            for own, other in zip(copy.parameters(), block.parameters(), strict=True):
                own.lerp_(other, 1 - self.momentum)

    def forward(self, s: Any) -> Tensor:
        """Return ``[B, W]``, or ``[B, *P, W]``."""
        for adapter, block in zip(self.adapters, self.blocks, strict=True):
            s = block(adapter(s))
        vector: Tensor = self.readout(s)
        return vector

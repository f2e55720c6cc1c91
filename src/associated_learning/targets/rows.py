"""Targets with positions, as the layers above the first see them: a row for what occurs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["PositionTargets"]


class PositionTargets(NamedTuple):
    """``t_i`` of targets with positions: a row for each label that occurs, gathered by position.

    ``g`` and ``h`` work on the rows, so a label costs the same whether it stands at one position
    or at a thousand.

    Attributes:
        rows: ``[U, D_i]``.
        which: Which row each position has, ``[B, *P]`` (int64); -1 where a position does not
            count.

    Example:
        >>> import torch
        >>> t = PositionTargets(torch.tensor([[0.0], [5.0]]), torch.tensor([[1, 1, 0, -1]]))
        >>> t.gathered().flatten().tolist(), t.counts().tolist()
        ([5.0, 5.0, 0.0], [1, 2])
    """

    rows: Tensor
    which: Tensor

    def kept(self) -> Tensor:
        """Return at which positions there is a target, ``[B, *P]`` booleans."""
        return self.which >= 0

    def numbers(self) -> Tensor:
        """Return the number of the row of every position that counts, ``[N]``."""
        return self.which[self.kept()]

    def gathered(self) -> Tensor:
        """Return the target of every position that counts, ``[N, D_i]``."""
        return self.rows[self.numbers()]

    def counts(self) -> Tensor:
        """Return at how many positions each row stands, ``[U]``."""
        return torch.bincount(self.numbers(), minlength=len(self.rows))

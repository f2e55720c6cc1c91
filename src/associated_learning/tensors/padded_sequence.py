"""Right-padded sequences: the one structure that data, models and readouts share."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

__all__ = ["PaddedSequence", "activation_values"]


class PaddedSequence(NamedTuple):
    """A batch of sequences of different lengths, padded on the right.

    Attributes:
        values: Token ids ``[B, T]`` (int64) or features ``[B, T, D]`` (float).
        lengths: True lengths ``[B]`` (int64), each between 1 and ``T``.
        state: Final states ``[B, directions, H]`` of a recurrent layer, or None.

    Example:
        >>> import torch
        >>> batch = PaddedSequence(torch.tensor([[5, 6, 7], [8, 0, 0]]), torch.tensor([3, 1]))
        >>> batch.mask().tolist()
        [[True, True, True], [True, False, False]]
    """

    values: Tensor
    lengths: Tensor
    state: Tensor | None = None

    def mask(self) -> Tensor:
        """Return ``[B, T]`` booleans: True at real tokens, False at padding."""
        positions = torch.arange(self.values.shape[1], device=self.values.device)
        return positions < self.lengths.unsqueeze(1)


def activation_values(s: Any) -> Tensor:
    """Return the values of an activation: a tensor, or what holds one as ``values``."""
    values: Tensor = s if isinstance(s, Tensor) else s.values
    return values

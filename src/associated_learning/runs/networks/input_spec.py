"""What a network must know of its data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from associated_learning.data.labels.target_numbers import TargetScale
from associated_learning.tensors.padded_sequence import PaddedSequence

__all__ = ["InputSpec"]


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """What a network must know of its data.

    Attributes:
        kind: "image", "table" or "text".
        num_classes: Number of classes; 1 for a regression.
        shape: Shape of one input without the batch: ``[C, H, W]`` or ``[F]``; empty for text.
        vocabulary_size: Number of token ids; 0 unless text.
        embedding_dim: Width of the embedding; 0 unless text, or where the model has its own.
        positions: Number of axes of positions in y; see `Target`.
        class_weights: Weight of each class in the loss; empty where all count the same.
        block_size: Number of tokens of texts that come in blocks; else 0.
        target_mean: Mean of the targets of a regression, in the user's units.
        target_std: Their standard deviation, likewise.
    """

    kind: str
    num_classes: int
    shape: tuple[int, ...] = ()
    vocabulary_size: int = 0
    embedding_dim: int = 0
    positions: int = 0
    block_size: int = 0
    class_weights: tuple[float, ...] = ()
    target_mean: float = 0.0
    target_std: float = 1.0

    @property
    def target_scale(self) -> TargetScale:
        """By what the targets of a regression are standardised."""
        return TargetScale(self.target_mean, self.target_std)

    def example(self) -> Any:
        """Return a small batch of this form: zeros, token ids of ones, or unlike at positions."""
        if self.block_size:
            return self._unlike(min(self.block_size, 8))
        if self.kind == "text" and self.positions:
            return PaddedSequence(self._unlike(3), torch.tensor([3, 2]))
        if self.kind == "text":
            return PaddedSequence(torch.ones(2, 3, dtype=torch.int64), torch.tensor([3, 2]))
        x = torch.zeros(2, *self.shape)
        if self.positions:  # a cycle of small numbers, no two places of a neighbourhood alike
            return torch.arange(x.numel()).view_as(x) % 251 / 125 - 1
        return x

    def _unlike(self, length: int) -> Tensor:
        return (torch.arange(2 * length) % self.vocabulary_size).view(2, length)

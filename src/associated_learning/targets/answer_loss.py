"""The loss of a bridge that answers y by itself, without the logits of a large vocabulary."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from associated_learning.losses.cross_entropy import MOST_LOGITS
from associated_learning.targets.classes import Classes
from associated_learning.targets.target import Target

__all__ = ["AnswerLoss"]


@dataclass(frozen=True)
class AnswerLoss:
    """The target's own loss, of a bridge's output or of the bridge itself."""

    target: Target

    def __call__(self, answer: Tensor, t0: Tensor) -> Tensor:
        """Return the loss of an answer ``[B, *P, size]``."""
        return self.target.loss(answer, t0)

    def of_bridge(self, b: nn.Module, read: Tensor, t0: Tensor) -> Tensor:
        """Return the loss of what a bridge answers.

        Where it ends in a linear map to more logits than fit into a chunk of
        `linear_cross_entropy`, they are made and judged chunk by chunk.

        Args:
            b: The bridge.
            read: What it takes, ``[B, *P, W]``.
            t0: The labels ``[B, *P]``, or values.
        """
        *body, last = b if isinstance(b, nn.Sequential) else [b]
        target = self.target
        large = target.positions and t0.numel() * target.size > MOST_LOGITS
        if not (large and isinstance(target, Classes) and type(last) is nn.Linear):
            return self(b(read), t0)
        for module in body:
            read = module(read)
        return target.loss_of_linear(read, last, t0)

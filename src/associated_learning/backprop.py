"""End-to-end backpropagation behind the same interface, so that comparisons are fair."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from associated_learning.layer import LayerOutput
from associated_learning.network import Network
from associated_learning.targets import Target

__all__ = ["BPNetwork"]


class BPNetwork(Network):
    """An ordinary model with its loss: one block that answers at one depth.

    Args:
        model: Maps a batch of inputs to ``[B, target.size]``.
        target: What y is; it gives the loss.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> net = al.BPNetwork(nn.Linear(4, 3), target=al.Classes(3))
        >>> net(torch.randn(2, 4)).shape
        torch.Size([2, 3])
    """

    def __init__(self, model: nn.Module, target: Target) -> None:
        super().__init__()
        self.model = model
        self.target = target

    @property
    def num_layers(self) -> int:
        return 1

    def blocks(self) -> list[nn.Module]:
        return [_EndToEnd(self.model, self.target)]

    def parts(self) -> dict[str, nn.Module]:
        return {"model": self.model}

    def forward(self, x: Any, depth: int | None = None) -> Tensor:
        """Return the model's output ``[B, target.size]``; ``depth`` can only be 1 or None."""
        self.check_depth(depth)
        output: Tensor = self.model(x)
        return output

    def exits(self, x: Any) -> Iterator[Tensor]:
        yield self(x)

    def inference_modules(self, depth: int) -> list[nn.Module]:
        self.check_depth(depth)
        return [self.model]


class _EndToEnd(nn.Module):
    """The whole model as one block: its output is s, its loss is the target's."""

    def __init__(self, model: nn.Module, target: Target) -> None:
        super().__init__()
        self.model = model
        self.target = target

    def forward(self, s: Any, t: Tensor) -> LayerOutput:
        output = self.model(s)
        self.target.check_output(output)
        return LayerOutput(output, t, {"task": self.target.loss(output, t)})

"""The shape all models share: a chain of encoders, a readout and a head."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from associated_learning.tensors.chain import encode
from associated_learning.tensors.padded_sequence import PaddedSequence

__all__ = ["LayeredModel"]


class LayeredModel(nn.Module):
    """A network in backpropagation form: `head(readout(f_L(... f_1(x))))`.

    Attributes:
        layers: The encoders f_1..f_L of Algorithm 1; each maps s_{i-1} to s_i.
        readout: Turns s_L, a tensor or a `PaddedSequence`, into one vector per sample.
        head: The classifier on that vector; the Associated Learning form drops it.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> layers = [nn.Linear(4, 3), nn.Linear(3, 2)]
        >>> model = LayeredModel(layers, nn.Flatten(), nn.Linear(2, 5))
        >>> model(torch.zeros(7, 4)).shape
        torch.Size([7, 5])
    """

    def __init__(self, layers: Iterable[nn.Module], readout: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.readout = readout
        self.head = head

    def forward(self, x: Tensor | PaddedSequence) -> Tensor:
        """Return the logits ``[B, out_features]``."""
        logits: Tensor = self.head(self.readout(encode(self.layers, x)))
        return logits

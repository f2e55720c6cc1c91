"""The multilayer perceptron."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from associated_learning.errors import InputError
from associated_learning.models.activations import Activation
from associated_learning.models.dense import dense_block
from associated_learning.models.layered import LayeredModel
from associated_learning.models.readouts import Flatten

__all__ = ["MLP"]


class MLP(LayeredModel):
    """Fully connected layers, one encoder each: Linear, activation, dropout.

    Args:
        in_features: Values per sample; inputs of any shape ``[B, ...]`` are flattened.
        out_features: Number of logits.
        hidden: Width of all layers, or one width per layer.
        num_layers: Number of layers if ``hidden`` is one width (3 if left out).
        activation: Name or module class.
        dropout: Probability after each activation.

    Raises:
        InputError: ``num_layers`` contradicts the number of widths, or there is no layer.

    Example:
        >>> import torch
        >>> model = MLP(in_features=64, hidden=32, num_layers=2, out_features=10)
        >>> model(torch.zeros(5, 1, 8, 8)).shape
        torch.Size([5, 10])
    """

    def __init__(
        self,
        *,
        in_features: int = 784,
        out_features: int = 10,
        hidden: int | tuple[int, ...] = 256,
        num_layers: int | None = None,
        activation: Activation = "relu",
        dropout: float = 0.0,
    ) -> None:
        widths = (in_features, *_widths(hidden, num_layers))
        layers = []
        for i, (below, width) in enumerate(pairwise(widths)):
            block = dense_block(below, width, activation=activation, dropout=dropout)
            layers.append(nn.Sequential(*([nn.Flatten()] if i == 0 else []), *block))
        super().__init__(layers, Flatten(), nn.Linear(widths[-1], out_features))


def _widths(hidden: int | tuple[int, ...], num_layers: int | None) -> tuple[int, ...]:
    if isinstance(hidden, int):
        hidden = (hidden,) * (3 if num_layers is None else num_layers)
    elif num_layers not in (None, len(hidden)):
        raise InputError(
            f"Got {len(hidden)} hidden widths but num_layers={num_layers}; give one of the two."
        )
    if not hidden:
        raise InputError("An MLP needs at least one hidden layer; got none.")
    return tuple(hidden)

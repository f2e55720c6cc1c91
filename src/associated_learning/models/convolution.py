"""The convolution of the image models with what follows it."""

from __future__ import annotations

from torch import nn

from associated_learning.models.activations import Activation, make_activation

__all__ = ["conv_block"]


def conv_block(
    below: int,
    width: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    batch_norm: bool,
    activation: Activation,
) -> list[nn.Module]:
    """Return a 3x3 Conv2d, BatchNorm (if wanted) and the activation, in that order.

    Example:
        >>> block = conv_block(3, 8, batch_norm=True, activation="relu")
        >>> [type(part).__name__ for part in block]
        ['Conv2d', 'BatchNorm2d', 'ReLU']
    """
    convolution = nn.Conv2d(below, width, 3, stride, padding=dilation, dilation=dilation)
    block: list[nn.Module] = [convolution]
    if batch_norm:
        block.append(nn.BatchNorm2d(width))
    block.append(make_activation(activation))
    return block

"""The paper's vanilla CNN (section 6.6)."""

from __future__ import annotations

from torch import nn

from associated_learning.models.activations import Activation
from associated_learning.models.convolution import conv_block
from associated_learning.models.dense import dense_head
from associated_learning.models.initialisation import he_normal_
from associated_learning.models.layered import LayeredModel
from associated_learning.models.readouts import Flatten

__all__ = ["CNN"]


class CNN(LayeredModel):
    """Four layers of two 3x3 convolutions and a deep dense head; 13 hidden layers in all.

    No normalisation, dropout or pooling; the last convolution of every second layer has
    stride 2. With the defaults 5,929,962 parameters. The head's 1280 and first 256 mirror
    the bridge of the AL form, so that both infer with equally many parameters.

    Args:
        in_channels: Channels of the images ``[B, in_channels, image_size, image_size]``.
        out_features: Number of logits.
        image_size: Side of the images in pixels.
        channels: Output channels, one per layer.
        batch_norm: Normalise before every activation, in the head too; the paper does not.
        activation: Name or module class; the paper's AL form uses ``"elu"``.
        head_hidden: Widths of the dense layers before the logits.

    Example:
        >>> import torch
        >>> model = CNN(in_channels=1, image_size=28, head_hidden=(16,))
        >>> model(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        out_features: int = 10,
        image_size: int = 32,
        channels: tuple[int, ...] = (32, 32, 64, 64),
        batch_norm: bool = False,
        activation: Activation = "relu",
        head_hidden: tuple[int, ...] = (1280, 256, 256, 256, 256),
    ) -> None:
        layers, below, side = [], in_channels, image_size
        for i, width in enumerate(channels):
            stride = 1 + i % 2
            layers.append(_conv_pair(below, width, stride, batch_norm, activation))
            below, side = width, -(-side // stride)
        head = dense_head(
            below * side**2, head_hidden, out_features, activation=activation, batch_norm=batch_norm
        )
        super().__init__(layers, Flatten(), head)
        he_normal_(self)


def _conv_pair(
    below: int, width: int, stride: int, batch_norm: bool, activation: Activation
) -> nn.Sequential:
    return nn.Sequential(
        *conv_block(below, width, batch_norm=batch_norm, activation=activation),
        *conv_block(width, width, stride=stride, batch_norm=batch_norm, activation=activation),
    )

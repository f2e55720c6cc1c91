"""The paper's VGG (sections 3.3 and 6.6)."""

from __future__ import annotations

from torch import nn

from associated_learning.errors import InputError
from associated_learning.models.activations import Activation
from associated_learning.models.convolution import conv_block
from associated_learning.models.dense import dense_block, dense_head
from associated_learning.models.initialisation import he_normal_
from associated_learning.models.layered import LayeredModel
from associated_learning.models.readouts import Flatten

__all__ = ["VGG"]

_POOL = 0
_PLAN: tuple[tuple[int, ...], ...] = (
    (128, 256, _POOL),
    (256, 512, _POOL),
    (512, _POOL, 512, _POOL),
)


class VGG(LayeredModel):
    """Six 3x3 convolutions with four poolings in three layers, then dense layers.

    The paper's BP form is the default (10,596,070 parameters on CIFAR-10). Its AL form has
    other encoders: ``VGG(batch_norm=False, activation="elu", dense=(1024, 1024))``.

    Args:
        in_channels: Channels of the images ``[B, in_channels, image_size, image_size]``.
        out_features: Number of logits.
        image_size: Side of the images in pixels, at least 16.
        batch_norm: Normalise before every activation, in the head too.
        activation: Name or module class.
        dense: Widths of a fourth encoder of fully connected layers; empty for none.
        head_hidden: Widths of the dense layers before the logits.

    Raises:
        InputError: The images are too small for four poolings.

    Example:
        >>> import torch
        >>> model = VGG(in_channels=1, image_size=28, dense=(32,), head_hidden=(16,))
        >>> model(torch.zeros(2, 1, 28, 28)).shape, len(model.layers)
        (torch.Size([2, 10]), 4)
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        out_features: int = 10,
        image_size: int = 32,
        batch_norm: bool = True,
        activation: Activation = "relu",
        dense: tuple[int, ...] = (),
        head_hidden: tuple[int, ...] = (1500, 300, 300, 300, 300),
    ) -> None:
        if image_size < 16:
            raise InputError(
                f"VGG halves its images four times; got {image_size}, needs 16 or more."
            )
        layers, below, side = [], in_channels, image_size
        for plan in _PLAN:
            layers.append(_conv_layer(below, plan, batch_norm, activation))
            below, side = max(plan), side // 2 ** plan.count(_POOL)
        features = below * side**2
        if dense:
            layers.append(_dense_layer(features, dense, batch_norm, activation))
            features = dense[-1]
        head = dense_head(
            features, head_hidden, out_features, activation=activation, batch_norm=batch_norm
        )
        super().__init__(layers, Flatten(), head)
        he_normal_(self)


def _conv_layer(
    below: int, plan: tuple[int, ...], batch_norm: bool, activation: Activation
) -> nn.Sequential:
    parts: list[nn.Module] = []
    for width in plan:
        if width == _POOL:
            parts.append(nn.MaxPool2d(2))
            continue
        parts += conv_block(below, width, batch_norm=batch_norm, activation=activation)
        below = width
    return nn.Sequential(*parts)


def _dense_layer(
    below: int, widths: tuple[int, ...], batch_norm: bool, activation: Activation
) -> nn.Sequential:
    parts: list[nn.Module] = [nn.Flatten()]
    for width in widths:
        parts += dense_block(below, width, activation=activation, batch_norm=batch_norm)
        below = width
    return nn.Sequential(*parts)

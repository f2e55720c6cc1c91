"""A small convolutional network that answers every pixel; ours, not the paper's."""

from __future__ import annotations

from torch import nn

from associated_learning.models.activations import Activation
from associated_learning.models.convolution import conv_block
from associated_learning.models.initialisation import he_normal_
from associated_learning.models.layered import LayeredModel
from associated_learning.models.readouts import KeptPositions
from associated_learning.models.resizing import Resized

__all__ = ["SegmentationCNN"]

_LAYERS = ((32, 2, 1), (32, 1, 2), (64, 2, 1), (64, 1, 2))  # channels, stride, dilation


class SegmentationCNN(LayeredModel):
    """Four layers of two 3x3 convolutions, and a linear map at every place.

    The first and the third layer halve the image, the others are dilated (Yu and Koltun, 2016), so
    that every layer sees much of it at little cost. What a place answers is resized to the pixels.

    Args:
        in_channels: Channels of the images ``[B, in_channels, H, W]``.
        out_features: Number of logits of a pixel.
        image_size: ``(H, W)``.
        batch_norm: Normalise before every activation.
        activation: Name or module class.

    Example:
        >>> import torch
        >>> model = SegmentationCNN(in_channels=1, out_features=3, image_size=(30, 21))
        >>> model(torch.zeros(2, 1, 30, 21)).shape
        torch.Size([2, 30, 21, 3])
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_features: int,
        image_size: tuple[int, int],
        batch_norm: bool = False,
        activation: Activation = "relu",
    ) -> None:
        layers, below, sizes = [], in_channels, list(image_size)
        for width, stride, dilation in _LAYERS:
            first, last = (
                conv_block(
                    *widths,
                    stride=by,
                    dilation=dilation,
                    batch_norm=batch_norm,
                    activation=activation,
                )
                for widths, by in (((below, width), 1), ((width, width), stride))
            )
            layers.append(nn.Sequential(*first, *last))
            below, sizes = width, [-(-size // stride) for size in sizes]
        resize = Resized([wanted / size for wanted, size in zip(image_size, sizes, strict=True)])
        head = nn.Sequential(nn.Linear(below, out_features), resize)
        super().__init__(layers, KeptPositions(1), head)
        he_normal_(self)

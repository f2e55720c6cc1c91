"""Images to normalised pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from associated_learning.data.images.images import (
    ImageFormat,
    ImageInput,
    decode,
    warn_of_other_sizes,
)
from associated_learning.data.samples import ImageSamples
from associated_learning.errors import InputError

__all__ = ["ImagePreprocessor"]

_CHUNK = 4096  # images at a time in float, so that statistics never hold the whole set so


@dataclass(frozen=True, kw_only=True)
class ImagePreprocessor:
    """Brings images to one format and normalises them per channel.

    Attributes:
        format: Channels, height and width of every image.
        mean: Of the training split per channel, in the range [0, 1].
        std: Likewise; 1 where a channel is constant.

    Example:
        >>> from PIL import Image
        >>> black, white = Image.new("L", (2, 2), 0), Image.new("L", (2, 2), 255)
        >>> preprocessor = ImagePreprocessor.fit([black, white])
        >>> preprocessor([white]).unique().tolist()
        [1.0]
    """

    kind: ClassVar[str] = "image"
    format: ImageFormat
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def fit(
        cls, images: Sequence[ImageInput] | Tensor, *, size: tuple[int, int] | None = None
    ) -> ImagePreprocessor:
        """Return a preprocessor with the format and statistics of ``images``.

        Args:
            images: The training split: encoded bytes, paths or PIL images, or pixels
                ``[N, C, H, W]`` (uint8).
            size: (height, width) to resize to; None keeps the common size of the images.

        Raises:
            InputError: Sizes differ and ``size`` is not given, or something is no image.
        """
        if isinstance(images, Tensor):
            pixels, format = images, ImageFormat(*images.shape[1:])
        else:
            format = ImageFormat.of(images, size)
            pixels = decode(images, format)
        mean, std = _statistics(pixels)
        return cls(format=format, mean=tuple(mean.tolist()), std=tuple(std.tolist()))

    def samples(self, inputs: Sequence[ImageInput] | Tensor, labels: Tensor) -> ImageSamples:
        """Return images (or pixels ``[N, C, H, W]``, uint8) and labels in memory."""
        pixels = inputs if isinstance(inputs, Tensor) else decode(inputs, self.format)
        return ImageSamples(
            pixels=pixels,
            labels=labels,
            mean=torch.tensor(self.mean),
            std=torch.tensor(self.std),
        )

    def __call__(self, inputs: Sequence[ImageInput]) -> Tensor:
        """Return image files, encoded bytes or PIL images as ``[B, C, H, W]`` (float32).

        Images of another size than the training images are resized, with a warning.

        Raises:
            InputError: No image, or something that is none.
        """
        if isinstance(inputs, str | bytes) or len(inputs) == 0:
            raise InputError("expected a list of one or more images")
        samples = self.samples(inputs, torch.zeros(len(inputs), dtype=torch.int64))
        warn_of_other_sizes(inputs, self.format)
        return samples.take(torch.arange(len(inputs)))

    def to_dict(self) -> dict[str, Any]:
        """Return everything to rebuild this, as values that JSON can hold."""
        return {
            "kind": self.kind,
            "format": list(self.format),
            "mean": list(self.mean),
            "std": list(self.std),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ImagePreprocessor:
        """Rebuild what `to_dict` gave."""
        return cls(
            format=ImageFormat(*values["format"]),
            mean=tuple(values["mean"]),
            std=tuple(values["std"]),
        )


def _statistics(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation per channel, of pixels in the range [0, 1]."""
    total = torch.zeros(pixels.shape[1], dtype=torch.float64)
    squares = torch.zeros_like(total)
    for chunk in torch.split(pixels, _CHUNK):
        x = chunk.double()
        total += x.sum(dim=(0, 2, 3))
        squares += x.square().sum(dim=(0, 2, 3))
    count = pixels.numel() / pixels.shape[1]
    mean = total / count
    std = (squares / count - mean.square()).clamp(min=0).sqrt()
    return mean / 255, torch.where(std > 0, std / 255, 1.0)

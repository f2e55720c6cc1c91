"""Images with a class for each pixel, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Self

from associated_learning.data.images.image_preprocessor import ImagePreprocessor
from associated_learning.data.images.images import ImageInput, image_size
from associated_learning.data.images.mask_format import IGNORED_NUMBER, MaskFormat
from associated_learning.data.samples import IGNORED, ImageSamples
from associated_learning.errors import needs_extra

__all__ = ["MaskPreprocessor", "MaskedImage", "MaskedSamples"]


class MaskedImage(NamedTuple):
    """The files of an image and of its mask."""

    image: Path
    mask: Path


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskedSamples(ImageSamples):
    """Images whose pixels have classes.

    Attributes:
        masks: ``[N, H, W]`` (uint8): class numbers, `IGNORED_NUMBER` where a pixel does not count.

    Example:
        >>> import torch
        >>> samples = MaskedSamples(
        ...     pixels=torch.zeros(1, 1, 1, 2, dtype=torch.uint8), labels=torch.zeros(1),
        ...     mean=torch.zeros(1), std=torch.ones(1),
        ...     masks=torch.tensor([[[1, 255]]], dtype=torch.uint8),
        ... )
        >>> samples.targets(torch.tensor([0])).tolist()
        [[[1, -100]]]
    """

    masks: Tensor

    def targets(self, indices: Tensor) -> Tensor:
        """Return the class of each pixel, ``[B, H, W]`` (int64), `IGNORED` where none counts."""
        masks = self.masks[indices]
        return masks.long().masked_fill_(masks == IGNORED_NUMBER, IGNORED)

    def subset(self, indices: Tensor) -> Self:
        """Return new samples: those at ``indices``, in that order."""
        return replace(ImageSamples.subset(self, indices), masks=self.masks[indices])

    def class_counts(self, num_classes: int) -> Tensor:
        """Return how many pixels each class has, ``[num_classes]``."""
        counts = torch.zeros(IGNORED_NUMBER + 1, dtype=torch.int64)
        for mask in self.masks:  # one at a time: counting takes eight bytes a pixel
            counts += mask.flatten().bincount(minlength=len(counts))
        return counts[:num_classes]


@dataclass(frozen=True, kw_only=True)
class MaskPreprocessor:
    """Brings images to one format, and their masks to class numbers of the same size.

    Attributes:
        images: What treats the images.
        masks: What the pixels of masks mean.
    """

    kind: ClassVar[str] = "masks"
    images: ImagePreprocessor
    masks: MaskFormat

    @classmethod
    def fit(
        cls, pairs: Sequence[MaskedImage], masks: MaskFormat, *, size: tuple[int, int] | None
    ) -> MaskPreprocessor:
        """Return a preprocessor with the format and statistics of the training images.

        Args:
            pairs: The training split.
            masks: What the pixels of masks mean.
            size: (height, width) to resize to; None keeps the common size of the images.

        Raises:
            InputError: Sizes differ and ``size`` is not given, or something is no image.
        """
        images = ImagePreprocessor.fit([pair.image for pair in pairs], size=size)
        return cls(images=images, masks=masks)

    def samples(self, inputs: Sequence[MaskedImage], labels: Tensor) -> MaskedSamples:
        """Return images and masks in memory.

        Images of another size are resized bilinearly, and their masks to the nearest pixel.

        Raises:
            InputError: A file cannot be read, or a mask does not fit its image or the classes.
        """
        with needs_extra("data", "a mask"):
            from PIL import Image

        images = self.images.samples([pair.image for pair in inputs], labels)
        _, height, width = self.images.format
        masks = np.empty((len(inputs), height, width), np.uint8)
        for i, (image, mask) in enumerate(inputs):
            numbers = self.masks.numbers(mask, image_size(image))
            if numbers.shape != (height, width):
                nearest = Image.Resampling.NEAREST
                numbers = np.asarray(Image.fromarray(numbers).resize((width, height), nearest))
            masks[i] = numbers
        return MaskedSamples(**vars(images), masks=torch.from_numpy(masks))

    def __call__(self, inputs: Sequence[ImageInput]) -> Tensor:
        """Return images as ``[B, C, H, W]``; see `ImagePreprocessor`."""
        return self.images(inputs)

    def mask(self, numbers: Tensor, size: tuple[int, int]) -> Any:
        """Return class numbers ``[H, W]`` as a mask of ``size`` (height, width), to the nearest."""
        with needs_extra("data", "a mask"):
            from PIL import Image

        image = self.masks.image(numbers.numpy().astype(np.uint8))
        wanted = size[::-1]
        return image if image.size == wanted else image.resize(wanted, Image.Resampling.NEAREST)

    def to_dict(self) -> dict[str, Any]:
        """Return everything to rebuild this, as values that JSON can hold."""
        return {"kind": self.kind, "images": self.images.to_dict(), "masks": self.masks.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> MaskPreprocessor:
        """Rebuild what `to_dict` gave."""
        return cls(
            images=ImagePreprocessor.from_dict(values["images"]),
            masks=MaskFormat.from_dict(values["masks"]),
        )

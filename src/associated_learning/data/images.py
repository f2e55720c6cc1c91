"""From image files to bytes of pixels, all of one size and one number of channels."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from associated_learning.errors import InputError, needs_extra

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["ImageFormat", "ImageInput", "decode"]

ImageInput: TypeAlias = "bytes | str | Path | Image.Image"

# Tried first: these tell themselves by their first bytes, while among all of Pillow's formats
# are some that take a full attempt to open, on every image.
_COMMON = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
_GREY = {"1", "L", "LA", "I", "I;16", "F"}


class ImageFormat(NamedTuple):
    """The shape that every image of a set is brought to.

    Attributes:
        channels: 1 (grey) or 3 (red, green, blue).
        height: In pixels.
        width: In pixels.
    """

    channels: int
    height: int
    width: int

    @classmethod
    def of(cls, images: Sequence[ImageInput], size: tuple[int, int] | None = None) -> ImageFormat:
        """Return the common format of ``images``; only their headers are read.

        Grey if all of them are; ``size`` (height, width) is theirs unless given.

        Raises:
            InputError: Sizes differ and ``size`` is not given, or something is no image.
        """
        heads = [_head(image, i) for i, image in enumerate(images)]
        channels = 1 if all(mode in _GREY for mode, _ in heads) else 3
        if size is None:
            sizes = {(height, width) for _, (width, height) in heads}
            if len(sizes) > 1:
                some = ", ".join(f"{h}x{w}" for h, w in sorted(sizes)[:3])
                raise InputError(
                    f"the images have {len(sizes)} different sizes ({some}, ...): give the"
                    " size (height, width) that all are to be resized to"
                )
            size = sizes.pop()
        return cls(channels, *size)


def decode(images: Sequence[ImageInput], format: ImageFormat) -> Tensor:
    """Return pixels ``[N, C, H, W]`` (uint8); images of another size are resized.

    Args:
        images: Encoded bytes, paths of files, or PIL images.
        format: What each is brought to.

    Raises:
        InputError: Something is no image, or cannot be read; names it.

    Example:
        >>> from PIL import Image
        >>> decode([Image.new("L", (4, 2), 7)], ImageFormat(3, 2, 4)).shape
        torch.Size([1, 3, 2, 4])
    """
    with needs_extra("data", "an image"):
        from PIL import Image

    channels, height, width = format
    pixels = np.empty((len(images), height, width, channels), dtype=np.uint8)
    mode = "L" if channels == 1 else "RGB"
    for i, item in enumerate(images):
        try:
            image = _open(item, i)
            image = image if image.mode == mode else image.convert(mode)
            if image.size != (width, height):
                image = image.resize((width, height), Image.Resampling.BILINEAR)
            pixels[i] = np.asarray(image).reshape(height, width, channels)
        except (OSError, SyntaxError) as error:  # PIL calls broken PNG files a SyntaxError
            raise InputError(f"cannot read {_name(item, i)}: {error}") from error
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))


def _head(item: ImageInput, i: int) -> tuple[str, tuple[int, int]]:
    image = _open(item, i)
    try:
        return image.mode, image.size
    finally:
        if isinstance(item, str | Path):
            image.close()


def _open(item: ImageInput, i: int) -> Image.Image:
    with needs_extra("data", "an image"):
        from PIL import Image, UnidentifiedImageError

    if isinstance(item, Image.Image):
        return item
    source: Any = io.BytesIO(item) if isinstance(item, bytes) else item
    try:
        try:
            return Image.open(source, formats=_COMMON)
        except UnidentifiedImageError:
            return Image.open(source)
    except UnidentifiedImageError as error:
        raise InputError(
            f"{_name(item, i)} is not an image: expected PNG, JPEG, WebP or another format"
            " that Pillow reads"
        ) from error
    except (OSError, TypeError, AttributeError, Image.DecompressionBombError) as error:
        raise InputError(f"cannot read {_name(item, i)}: {error}") from error


def _name(item: ImageInput, i: int) -> str:
    return f"the image file {item}" if isinstance(item, str | Path) else f"image {i}"

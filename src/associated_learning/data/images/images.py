"""From image files to bytes of pixels, all of one size and one number of channels."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from associated_learning.errors import InputError, needs_extra

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "ImageFormat",
    "ImageInput",
    "decode",
    "default_size",
    "image_size",
    "open_image",
    "warn_of_other_sizes",
]

ImageInput: TypeAlias = "bytes | str | Path | Image.Image"

# Tried first: these tell themselves by their first bytes, while among all of Pillow's formats
# are some that take a full attempt to open, on every image.
_COMMON = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
_ORIENTATION = 0x0112  # the tag of EXIF: cameras turn the picture by it, not the pixels
_ON_ITS_SIDE = {5, 6, 7, 8}
_HAVE_EXIF = {"JPEG", "MPO", "WEBP"}  # in their header; that of others would need all pixels
_LARGEST_SIDE = 64  # that images of several sizes are brought to by themselves
_GREY = {"1", "L", "LA", "I", "I;16", "I;16L", "I;16B", "I;16N", "F"}
_SIXTEEN_BITS = {"I;16", "I;16L", "I;16B", "I;16N"}


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
                    " size (height, width) that all are to be resized to (--image-size)"
                )
            size = sizes.pop()
        return cls(channels, *size)


def default_size(images: Sequence[ImageInput]) -> tuple[int, int] | None:
    """Return a square size for images of several sizes; None where all have one.

    It is the median of their shorter sides, at most 64 pixels, and a warning tells it. Only
    headers are read.

    Example:
        >>> from PIL import Image
        >>> default_size([Image.new("L", (8, 6))] * 2)
    """
    sizes = [size for _, size in (_head(image, i) for i, image in enumerate(images))]
    if len(set(sizes)) <= 1:
        return None
    side = min(_LARGEST_SIDE, sorted(map(min, sizes))[len(sizes) // 2])
    some = ", ".join(f"{height}x{width}" for width, height in sorted(set(sizes))[:3])
    warnings.warn(
        f"the images have {len(set(sizes))} different sizes ({some}, ...): all are resized to "
        f"{side}x{side} (--image-size chooses)",
        stacklevel=4,
    )
    return side, side


def decode(images: Sequence[ImageInput], format: ImageFormat, *, resize: bool = True) -> Tensor:
    """Return pixels ``[N, C, H, W]`` (uint8); images of another size are resized.

    Images of 16 bits are scaled to 8 by their whole range.

    Raises:
        InputError: Something is no image, cannot be read, is of another size where that is not
            taken, or holds numbers of unknown range; names it.

    Example:
        >>> from PIL import Image
        >>> decode([Image.new("L", (4, 2), 7)], ImageFormat(3, 2, 4)).shape
        torch.Size([1, 3, 2, 4])
    """
    channels, height, width = format
    pixels = np.empty((len(images), height, width, channels), dtype=np.uint8)
    for i, item in enumerate(images):
        try:
            pixels[i] = _pixels(item, i, format, resize).reshape(height, width, channels)
        except InputError:
            raise
        except Exception as error:  # Pillow's decoders raise anything, from SyntaxError on
            raise InputError(f"cannot read {_name(item, i)}: {error}") from error
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))


def warn_of_other_sizes(images: Sequence[ImageInput], format: ImageFormat) -> None:
    """Warn of the first image that `decode` will resize; only headers are read."""
    for i, image in enumerate(images):
        _, (width, height) = _head(image, i)
        if (height, width) != (format.height, format.width):
            warnings.warn(
                f"{_name(image, i)} has {height} x {width} pixels and is resized to"
                f" {format.height} x {format.width}, as the training images have",
                stacklevel=3,
            )
            return


def _pixels(item: ImageInput, i: int, format: ImageFormat, resize: bool) -> NDArray[np.uint8]:
    with needs_extra("data", "an image"):
        from PIL import Image

    opened, mode = open_image(item, i), "L" if format.channels == 1 else "RGB"
    size = (format.width, format.height)
    try:
        opened = _upright(opened)
        if opened.size != size and not resize:
            raise InputError(_other_size(opened, _name(item, i), format))
        image = _eight_bits(opened, _name(item, i))
        image = image if image.mode == mode else image.convert(mode)
        image = image if image.size == size else image.resize(size, Image.Resampling.BILINEAR)
        return np.asarray(image)
    finally:
        if isinstance(item, str | Path):
            opened.close()


def _upright(image: Image.Image) -> Image.Image:
    """Return an image as it is shown: cameras write on what side it lies."""
    with needs_extra("data", "an image"):
        from PIL import ImageOps

    turned = image.getexif().get(_ORIENTATION, 1) != 1
    return ImageOps.exif_transpose(image) if turned else image


def _other_size(image: Image.Image, name: str, format: ImageFormat) -> str:
    return (
        f"{name} has {image.height} x {image.width} pixels, those of the training images are"
        f" {format.height} x {format.width}: give the size (height, width) that all are to be"
        " resized to, or leave it out"
    )


def _eight_bits(image: Image.Image, name: str) -> Image.Image:
    """Return an image of many greys as one of 256, spread over the range of its type.

    Pillow itself would cut off all that is above 255.

    Raises:
        InputError: The range is unknown: of 32-bit and float images nothing tells it.
    """
    if image.mode in _SIXTEEN_BITS or (image.mode == "I" and image.format == "PNG"):
        with needs_extra("data", "an image"):
            from PIL import Image

        values = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((values * 255 + 32_767) // 65_535).astype(np.uint8))
    if image.mode in ("I", "F"):
        what = "32-bit whole numbers" if image.mode == "I" else "floating-point numbers"
        raise InputError(
            f"{name} holds {what}, of which nothing tells what is black and what is white: save it"
            " with 8 or 16 bits, scaled to their whole range"
        )
    return image


def _head(item: ImageInput, i: int) -> tuple[str, tuple[int, int]]:
    image = open_image(item, i)
    try:
        if image.format in _HAVE_EXIF and image.getexif().get(_ORIENTATION) in _ON_ITS_SIDE:
            return image.mode, (image.height, image.width)
        return image.mode, image.size
    finally:
        if isinstance(item, str | Path):
            image.close()


def image_size(image: ImageInput) -> tuple[int, int]:
    """Return height and width of an image; only its header is read.

    Raises:
        InputError: It is none.
    """
    _, (width, height) = _head(image, 0)
    return height, width


def open_image(item: ImageInput, i: int = 0) -> Image.Image:
    """Return an image whose pixels are not read yet.

    Args:
        item: Encoded bytes, the path of a file, or a PIL image.
        i: Its number, to be named by where it has no name.

    Raises:
        InputError: It is none.
    """
    with needs_extra("data", "an image"):
        from PIL import Image, UnidentifiedImageError

    if isinstance(item, Image.Image):
        return item
    source: Any = io.BytesIO(item) if isinstance(item, bytes) else item
    try:
        with warnings.catch_warnings():
            # an image that is larger than a screen is no attack yet; twice as large is refused
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            try:
                return Image.open(source, formats=_COMMON)
            except UnidentifiedImageError:
                return Image.open(source)
    except UnidentifiedImageError as error:
        raise InputError(
            f"{_name(item, i)} is not an image: expected PNG, JPEG, WebP or another format"
            " that Pillow reads"
        ) from error
    except Exception as error:  # headers that lie make its formats raise anything
        raise InputError(f"cannot read {_name(item, i)}: {error}") from error


def _name(item: ImageInput, i: int) -> str:
    return f"the image file {item}" if isinstance(item, str | Path) else f"image {i}"

"""Masks: images whose pixels tell classes, by their values or by colours."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from associated_learning.data.images.images import open_image
from associated_learning.errors import InputError, needs_extra

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["IGNORED_NUMBER", "MaskFormat", "colour_key", "mask_keys"]

IGNORED_NUMBER = 255  # stands for what does not count, beside class numbers in bytes
_PACKED = {"L;2": 85, "L;4": 17}  # by what Pillow multiplies greys of 2 and 4 bits
_VALUES = {"L": "greys", "P": "palette indices", "1": "bits"}


@dataclass(frozen=True, kw_only=True)
class MaskFormat:
    """What the pixels of masks mean.

    Attributes:
        names: Name of each class.
        keys: For each class its value, 0 to 255, or its colour as `colour_key` gives it.
        ignored: The value or colour of pixels that do not count; None if all count.
        mode: As Pillow names it: "L", "P" or "1" for values, "RGB" for colours.
        palette: Of mode "P", so that masks can be looked at: red, green, blue of each value.

    Raises:
        InputError: There are more classes than bytes can number.

    Example:
        >>> own = MaskFormat(names=("ground", "hat"), keys=(0, 7), ignored=255, mode="L")
        >>> image = own.image(np.array([[0, 1, 1]], np.uint8))
        >>> np.asarray(image).tolist()
        [[0, 7, 7]]
    """

    names: tuple[str, ...]
    keys: tuple[int, ...]
    ignored: int | None
    mode: str
    palette: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if len(self.keys) > IGNORED_NUMBER:
            raise InputError(
                f"the masks have {len(self.keys)} classes; expected {IGNORED_NUMBER} at most"
            )

    def numbers(self, path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Return the class of each pixel ``[H, W]`` of a mask; `IGNORED_NUMBER` where none counts.

        Raises:
            InputError: It cannot be read, has another size, or a pixel that is no class.
        """
        keys = mask_keys(path, coloured=self.mode == "RGB")
        if keys.shape != size:
            raise InputError(
                f"the mask {path} has {keys.shape[0]} x {keys.shape[1]} pixels; expected"
                f" {size[0]} x {size[1]}, as its image has: save one of the same size"
            )
        order = np.argsort(self.keys)
        known = np.array(self.keys)[order]
        places = np.searchsorted(known, keys).clip(max=len(known) - 1)
        ignored = np.zeros_like(keys, bool) if self.ignored is None else keys == self.ignored
        wrong = (known[places] != keys) & ~ignored
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise InputError(self._unknown(path, int(row), int(column), int(keys[row, column])))
        numbers = np.where(ignored, IGNORED_NUMBER, order[places])
        return numbers.astype(np.uint8)

    def image(self, numbers: NDArray[np.uint8]) -> Image.Image:
        """Return the mask of class numbers ``[H, W]``, of the mode that the masks have."""
        with needs_extra("data", "a mask"):
            from PIL import Image

        values = np.array(self.values(), bool if self.mode == "1" else np.uint8)
        image = Image.fromarray(values[numbers])
        if self.palette:
            image.putpalette(self.palette)
        return image

    def values(self) -> list[int] | list[list[int]]:
        """Return the value of each class, or its red, green and blue."""
        if self.mode != "RGB":
            return list(self.keys)
        return [list(_colour(key)) for key in self.keys]

    def to_dict(self) -> dict[str, Any]:
        """Return everything to rebuild this, as values that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> MaskFormat:
        """Rebuild what `to_dict` gave."""
        return cls(
            names=tuple(values["names"]),
            keys=tuple(values["keys"]),
            ignored=values["ignored"],
            mode=values["mode"],
            palette=tuple(values["palette"]),
        )

    def _unknown(self, path: Path, row: int, column: int, key: int) -> str:
        known = [
            shown if (shown := self._shown(one)) == name else f"{shown} ({name})"
            for one, name in zip(self.keys[:6], self.names, strict=False)
        ]
        more = ", ..." if len(self.keys) > len(known) else ""
        beside = "" if self.ignored is None else f"; {self._shown(self.ignored)} does not count"
        what = "colour" if self.mode == "RGB" else "value"
        return (
            f"the mask {path} has the {what} {self._shown(key)} in row {row}, column {column};"
            f" expected one of {', '.join(known)}{more}{beside}. Correct the mask, or name that"
            f" {what} in a classes.txt beside the folders"
        )

    def _shown(self, key: int) -> str:
        if self.mode != "RGB":
            return str(key)
        return str(_colour(key))


def colour_key(red: int, green: int, blue: int) -> int:
    """Return a colour as one number.

    Example:
        >>> hex(colour_key(255, 0, 16))
        '0xff0010'
    """
    return red << 16 | green << 8 | blue


def _colour(key: int) -> tuple[int, int, int]:
    """Return the colour that `colour_key` made a number of."""
    return key >> 16, key >> 8 & 255, key & 255


def mask_keys(path: Path, *, coloured: bool) -> NDArray[np.int64]:
    """Return the values of a mask's pixels, or their colours as numbers, ``[H, W]``.

    Raises:
        InputError: It cannot be read, or its pixels are of another kind.
    """
    image = open_image(path)
    try:
        if not coloured:
            if image.mode not in _VALUES:
                raise InputError(_no_values(path, image.mode))
            tiles = getattr(image, "tile", [])  # how the file packs its pixels
            spread = _PACKED.get(str(tiles[0][3]), 1) if tiles else 1
            return np.asarray(image).astype(np.int64) // spread
        if image.mode == "RGBA" and image.getchannel("A").getextrema() != (255, 255):
            raise InputError(f"the mask {path} is transparent in places; save it as RGB")
        pixels = np.asarray(image.convert("RGB")).astype(np.int64)
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot read the mask {path}: {error}") from error
    finally:
        image.close()
    return pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]


def _no_values(path: Path, mode: str) -> str:
    kinds = ", ".join(f"{mode} ({what})" for mode, what in _VALUES.items())
    remedy = "save it as one of those"
    if mode in ("RGB", "RGBA"):
        remedy = (
            "or a classes.txt beside the folders with a line NAME RED GREEN BLUE for each class,"
            " such as: road 128 64 128"
        )
    return f"the mask {path} is of mode {mode}; expected {kinds}: {remedy}"

"""Folders of images with a mask for each: ``images/`` and ``masks/``, files of the same name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from associated_learning.data.images.images import open_image
from associated_learning.data.images.mask_classes import IGNORE, NamedClasses, read_classes
from associated_learning.data.images.mask_format import MaskFormat, mask_keys
from associated_learning.data.images.masked_images import MaskedImage
from associated_learning.data.reading.raw import RawSet, RawSplit
from associated_learning.errors import InputError

__all__ = ["has_masks", "read_masked"]

_IMAGES, _MASKS = "images", "masks"
_SPLITS = {
    "train": ("train",),
    "validation": ("validation", "valid", "val"),
    "test": ("test",),
}
_IGNORED = 255
_FORM = "images/NAME.png (or .jpg, ...) and masks/NAME.png"


def has_masks(folder: Path) -> bool:
    """Return whether a folder holds ``images/`` and ``masks/``, itself or in ``train/``."""
    return any(map(_holds_both, (folder, folder / "train")))


def _holds_both(folder: Path) -> bool:
    return (folder / _IMAGES).is_dir() and (folder / _MASKS).is_dir()


def read_masked(
    name: str | Path, *, test_data: str | Path | None = None
) -> tuple[RawSet, MaskFormat]:
    """Return the images of a folder with their masks, and what the pixels of masks mean.

    Args:
        name: A folder with ``images/`` and ``masks/``, or with the splits ``train/``, perhaps
            ``validation/`` and ``test/``, that hold those. A ``classes.txt`` or ``classes.json`` in
            it names the classes (`read_classes`); without it they are the values of the training
            masks, but for 255, which does not count.
        test_data: A folder with the images for testing.

    Raises:
        InputError: There is no such folder, an image has no mask or a mask no image, or the masks
            tell no two classes.
    """
    folder = Path(name)
    pairs = _splits(folder, None if test_data is None else Path(test_data))
    format = _format(pairs["train"], read_classes(folder))
    splits = {
        key: RawSplit(found, torch.zeros(len(found), dtype=torch.int64))
        for key, found in pairs.items()
    }
    return RawSet("image", format.names, splits), format


def _splits(folder: Path, test: Path | None) -> Mapping[str, Sequence[MaskedImage]]:
    if not has_masks(folder):
        inside = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        held = f"holds {', '.join(inside[:5]) or 'nothing'}" if folder.is_dir() else "is no folder"
        raise InputError(
            f"{folder} {held}: expected a folder with {_FORM}, or with those in train/, and"
            " perhaps in validation/ and test/"
        )
    found = _places(folder)
    if test is not None:
        found["test"].append(test)
    for key, places in found.items():
        if len(places) > 1:
            raise InputError(
                f"{' and '.join(map(str, places))} came for the {key} split: expected one of them"
            )
    return {key: _pairs(place) for key, places in found.items() for place in places}


def _places(folder: Path) -> dict[str, list[Path]]:
    """Return the folders that hold images and masks, by their splits."""
    below = sorted(path for path in folder.iterdir() if path.is_dir() and _holds_both(path))
    found = {key: [p for p in below if p.name in names] for key, names in _SPLITS.items()}
    strangers = [path for path in below if not any(path in places for places in found.values())]
    if strangers:
        names = ", ".join(name for listed in _SPLITS.values() for name in listed)
        raise InputError(
            f"{strangers[0]} holds images and masks, but is no split: expected {names}. Rename it,"
            " or take it away"
        )
    if _holds_both(folder):
        found["train"].insert(0, folder)
    return found


def _pairs(folder: Path) -> list[MaskedImage]:
    images, masks = (_by_stem(folder / name) for name in (_IMAGES, _MASKS))
    alone = sorted(images.keys() - masks.keys()), sorted(masks.keys() - images.keys())
    if any(alone):
        told = [
            f"{len(names)} {what}, such as {files[names[0]]}"
            for what, names, files in zip(
                ("without a mask", "without an image"), alone, (images, masks), strict=True
            )
            if names
        ]
        raise InputError(
            f"of the files in {folder} {'; '.join(told)}: expected {_FORM} for every NAME. Add"
            " what is missing, or take the others away"
        )
    if not images:
        raise InputError(f"{folder / _IMAGES} is empty: expected one or more images")
    wrong = next((mask for mask in masks.values() if mask.suffix.lower() != ".png"), None)
    if wrong is not None:
        raise InputError(
            f"the mask {wrong} is no PNG, and other formats may change values: save it as PNG"
        )
    return [MaskedImage(images[stem], masks[stem]) for stem in sorted(images)]


def _by_stem(folder: Path) -> dict[str, Path]:
    """Return the files of a folder by their names without endings; hidden ones are left out."""
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}: expected {_FORM}")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            raise InputError(f"{path} is a folder: expected files alone, {_FORM}")
        if path.stem in found:
            raise InputError(
                f"{found[path.stem]} and {path} have the same name but for their endings: rename"
                " one of each, image and mask"
            )
        found[path.stem] = path
    return found


def _format(pairs: Sequence[MaskedImage], named: NamedClasses | None) -> MaskFormat:
    """Return what masks mean: by the file that names their classes, or by what they hold."""
    image = open_image(pairs[0].mask)
    mode = "RGB" if named is not None and named.coloured else image.mode
    palette = tuple(image.getpalette() or ()) if mode == "P" else ()
    image.close()
    if named is None:
        values = _values(pairs)
        named = NamedClasses(tuple(map(str, values)), values, _IGNORED, coloured=False)
    ignored = named.ignored
    if ignored is None and not named.coloured and _IGNORED not in named.keys:
        ignored = _IGNORED
    return MaskFormat(
        names=named.names, keys=named.keys, ignored=ignored, mode=mode, palette=palette
    )


def _values(pairs: Sequence[MaskedImage]) -> tuple[int, ...]:
    """Return the values that training masks hold, but for what does not count."""
    counts = np.zeros(256, np.int64)
    for _, mask in pairs:
        counts += np.bincount(mask_keys(mask, coloured=False).ravel(), minlength=256)
    values = tuple(int(value) for value in counts.nonzero()[0] if value != _IGNORED)
    if len(values) < 2:
        seen = [*values, _IGNORED] if counts[_IGNORED] else [*values]
        raise InputError(
            f"the training masks hold {' and '.join(map(str, seen))} alone, and {_IGNORED} does"
            " not count: expected two or more classes. If it is a class, write a classes.txt"
            f" beside the folders with a line NAME VALUE for each, such as: object {_IGNORED}"
            f" ({IGNORE} names what does not count)"
        )
    return values

"""Folders of images: which file is of which class and split, by the folders that it lies in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from associated_learning.errors import InputError, needs_extra

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["read_image_folder"]

_SPLITS = {
    name: split
    for split, names in {
        "train": ("train", "training"),
        "validation": ("validation", "valid", "val", "dev"),
        "test": ("test", "testing"),
    }.items()
    for name in names
}
_FORM = "expected FOLDER/CLASS/IMAGE, or FOLDER/SPLIT/CLASS/IMAGE with a split train"
_TEXTS = (
    ". It holds texts, such as {}: write them into one CSV or JSONL file with a column of the texts"
    " and one of their labels"
)


def read_image_folder(folder: Path) -> Mapping[str, Dataset]:
    """Return the splits of ``folder/CLASS/IMAGE`` or ``folder/SPLIT/CLASS/IMAGE``.

    All images below the folder of a class, however deep, are of that class; files of other kinds
    and hidden ones are none. Only whole names of folders tell a split (train, training, validation,
    valid, val, dev, test, testing), never those of files.

    Raises:
        InputError: The folder holds no such images, or some that belong to no class.
    """
    root = _inner(folder)
    below = [one for one in _folders(root) if _images(one)]
    splits = [one for one in below if one.name.lower() in _SPLITS and _holds_classes(one)]
    if not splits:
        return {"train": _read(root)}
    found = {_SPLITS[one.name.lower()]: one for one in splits}
    if len(found) < len(below) or "train" not in found:
        names = ", ".join(one.name for one in below)
        raise InputError(f"{root} holds the folders {names}, which are not all splits: {_FORM}")
    return {split: _read(one) for split, one in found.items()}


def _read(root: Path) -> Dataset:
    with needs_extra("data", f"reading images from {root}"):
        from datasets import ClassLabel, Dataset, Features, Image

    found = {one.name: _images(one) for one in _folders(root)}
    names = sorted(name for name, paths in found.items() if paths)
    if loose := _direct(root):
        raise InputError(
            f"{len(loose)} images lie in {root} itself, such as {loose[0].name}, in no folder of a"
            f" class: {_FORM}, one folder per class"
        )
    if not names:
        texts = next(root.rglob("*.txt"), None)
        instead = "" if texts is None else _TEXTS.format(texts.relative_to(root))
        raise InputError(f"{root} holds no images: {_FORM}, one folder per class{instead}")
    paths = [str(path) for name in names for path in found[name]]
    labels = [i for i, name in enumerate(names) for _ in found[name]]
    features = Features({"image": Image(), "label": ClassLabel(names=names)})
    return Dataset.from_dict({"image": paths, "label": labels}, features=features)


def _inner(folder: Path) -> Path:
    """Return the folder of the classes or splits, which may lie alone in others."""
    while len(below := _folders(folder)) == 1 and not _direct(folder) and not _direct(below[0]):
        folder = below[0]
    return folder


def _holds_classes(folder: Path) -> bool:
    return not _direct(folder) and any(_images(one) for one in _folders(folder))


def _images(folder: Path) -> list[Path]:
    found = _direct(folder)
    for one in _folders(folder):
        found += _images(one)
    return found


def _direct(folder: Path) -> list[Path]:
    """Return the images that lie in a folder itself, in order."""
    with needs_extra("data", "images"):
        from PIL import Image

    endings = Image.registered_extensions()
    return [one for one in _visible(folder) if one.suffix.lower() in endings and one.is_file()]


def _folders(folder: Path) -> list[Path]:
    return [one for one in _visible(folder) if one.is_dir()]


def _visible(folder: Path) -> list[Path]:
    try:
        found = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"cannot read {folder}: {error}") from error
    return [one for one in found if not one.name.startswith((".", "__MACOSX"))]

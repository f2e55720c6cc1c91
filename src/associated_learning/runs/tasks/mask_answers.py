"""The masks that a run answers: one PNG for each image, as the training masks are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from associated_learning.data import MaskPreprocessor
from associated_learning.data.images import image_size
from associated_learning.errors import InputError
from associated_learning.runs.opened import OpenRun
from associated_learning.state.files import replaced_file
from associated_learning.tensors.devices import device_of
from associated_learning.tensors.modes import evaluating

__all__ = ["mask_paths", "written_masks"]

_BATCH = 8


def mask_paths(images: Sequence[str], folder: Path) -> list[Path]:
    """Return where the mask of each image goes: into a folder, under the image's name.

    Raises:
        InputError: Two images have one name, or there is such a file already.
    """
    paths = [folder / f"{Path(image).stem}.png" for image in images]
    first: dict[Path, str] = {}
    for image, path in zip(images, paths, strict=True):
        if path in first:
            raise InputError(
                f"{first[path]} and {image} came, whose masks would both be {path}; give one of "
                "them another name, or label them by two commands into two folders."
            )
        first[path] = image
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--output {folder} is a file; expected a folder for masks.")
    there = next((path for path in paths if path.exists()), None)
    if there is not None:
        raise InputError(
            f"{there} exists, and no mask is overwritten; choose another folder, or delete it."
        )
    return paths


def written_masks(
    opened: OpenRun, images: Sequence[str], paths: Sequence[Path], depth: int
) -> Iterator[tuple[str, Path]]:
    """Write the masks of images, and yield each image with its mask once that is there.

    A mask has the size of its image, and the values or colours of the training masks. It is written
    under another name and renamed, so that no half of one is ever seen.

    Args:
        opened: The run.
        images: Files of images.
        paths: Of their masks, as `mask_paths` gives them.
        depth: Number of layers.

    Raises:
        InputError: A file is no image; those before it may be answered.
        CheckpointError: A mask cannot be written.
    """
    preprocessor = opened.preprocessor
    assert isinstance(preprocessor, MaskPreprocessor)
    for start in range(0, len(images), _BATCH):
        some = images[start : start + _BATCH]
        numbers = _answered(opened, preprocessor(some), depth)
        for image, path, mask in zip(some, paths[start:], numbers, strict=False):
            made: Any = preprocessor.mask(mask, image_size(image))
            path.parent.mkdir(parents=True, exist_ok=True)
            with replaced_file(path) as temporary:
                made.save(temporary, format="PNG")
            yield image, path


def _answered(opened: OpenRun, x: Tensor, depth: int) -> Tensor:
    """Return the class number of each pixel, ``[B, H, W]``, on the CPU."""
    with evaluating(opened.net):
        return opened.net.predict(x.to(device_of(opened.net)), depth).labels.cpu()

"""The masks that a run answers: one PNG for each image, as the training masks are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from associated_learning.data import MaskPreprocessor
from associated_learning.data.images.images import image_size
from associated_learning.errors import InputError
from associated_learning.runs.folder.open_run import OpenRun
from associated_learning.state.digests import command_key
from associated_learning.state.files import replaced_file
from associated_learning.tensors.devices import device_of
from associated_learning.tensors.modes import evaluating

__all__ = ["MaskFolder", "written_masks"]

_BATCH = 8


class MaskFolder(NamedTuple):
    """A folder of masks on their way: the same command goes on where it was killed.

    Attributes:
        paths: Where the mask of each image goes.
        unfinished: A file that is there until all are; its name tells the command.
    """

    paths: Sequence[Path]
    unfinished: Path

    @classmethod
    def of(cls, images: Sequence[str], folder: Path, command: Any) -> MaskFolder:
        """Return the folder of a command, given as JSON-able values that decide its answers.

        Raises:
            InputError: Two images have one name, or there is a file in the way that this command
                has not written.
        """
        paths = [folder / f"{Path(image).stem}.png" for image in images]
        first: dict[Path, str] = {}
        for image, path in zip(images, paths, strict=True):
            if path in first:
                raise InputError(
                    f"{first[path]} and {image} came, whose masks would both be {path}; give one "
                    "of them another name, or label them by two commands into two folders."
                )
            first[path] = image
        if folder.exists() and not folder.is_dir():
            raise InputError(f"--output {folder} is a file; expected a folder for masks.")
        key = command_key(command)
        found = cls(paths, folder / f".{key}.unfinished")
        there = next((path for path in paths if path.exists()), None)
        if there is not None and not found.unfinished.exists():
            raise InputError(
                f"{there} exists, and no mask is overwritten; choose another folder, or delete it."
            )
        return found


def written_masks(
    opened: OpenRun, images: Sequence[str], to: MaskFolder, depth: int
) -> Iterator[tuple[str, Path]]:
    """Write the masks of images that are not there, and yield every image with its mask.

    A mask has the size of its image, and the values or colours of the training masks. It is written
    under another name and renamed, so that no half of one is ever seen.

    Raises:
        InputError: A file is no image.
        CheckpointError: A mask cannot be written.
    """
    for image in images:
        image_size(image)  # before anything is written
    to.unfinished.parent.mkdir(parents=True, exist_ok=True)
    to.unfinished.touch()
    pairs = list(zip(images, to.paths, strict=True))
    for start in range(0, len(images), _BATCH):
        some = pairs[start : start + _BATCH]
        missing = [(image, path) for image, path in some if not path.exists()]
        if missing:
            _write(opened, missing, depth)
        yield from some
    to.unfinished.unlink()


def _write(opened: OpenRun, pairs: Sequence[tuple[str, Path]], depth: int) -> None:
    preprocessor = opened.preprocessor
    assert isinstance(preprocessor, MaskPreprocessor)
    numbers = _answered(opened, preprocessor([image for image, _ in pairs]), depth)
    for (image, path), mask in zip(pairs, numbers, strict=True):
        made: Any = preprocessor.mask(mask, image_size(image))
        with replaced_file(path) as temporary:
            made.save(temporary, format="PNG")


def _answered(opened: OpenRun, x: Tensor, depth: int) -> Tensor:
    """Return the class number of each pixel, ``[B, H, W]``, on the CPU."""
    with evaluating(opened.net):
        return opened.net.predict(x.to(device_of(opened.net)), depth).labels.cpu()

"""Encoded images of a whole set, of which some are here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import overload

from torch import Tensor

from associated_learning.errors import InputError

__all__ = ["EncodedImages"]


class EncodedImages(Sequence[bytes]):
    """Images by their rows in a whole set; one that is not here is refused where it is asked for.

    Args:
        images: The images that are here, by their rows.
        rows: The rows that this is about, in their order, whether here or not.
        path: The file they are from, for messages.
    """

    def __init__(self, images: Mapping[int, bytes], rows: Sequence[int], path: Path) -> None:
        self._images, self._rows, self._path = images, rows, path

    @classmethod
    def of(cls, data: Tensor, ends: Tensor, rows: Tensor, length: int, path: Path) -> EncodedImages:
        """Return the images of all rows of a set.

        Args:
            data: The bytes of all images that are here, one after the other (uint8).
            ends: Where each of them ends.
            rows: The row of each of them.
            length: Number of rows of the whole set.
            path: The file they are from.
        """
        whole, starts = data.numpy().tobytes(), [0, *ends.tolist()]
        places = zip(rows.tolist(), starts, starts[1:], strict=False)
        images = {row: whole[start:end] for row, start, end in places}
        return cls(images, range(length), path)

    def subset(self, indices: Tensor) -> EncodedImages:
        """Return those at ``indices``, in that order; none of them need be here."""
        return EncodedImages(self._images, [self._rows[i] for i in indices.tolist()], self._path)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> bytes: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[bytes]: ...
    def __getitem__(self, place: int | slice) -> bytes | Sequence[bytes]:
        """Return an image. Raises InputError if it is not here."""
        if isinstance(place, slice):
            return EncodedImages(self._images, self._rows[place], self._path)
        row = self._rows[place]
        if row not in self._images:
            raise InputError(
                f"{self._path} lacks the image of row {row}: it was written for runs that draw "
                "other samples; write it anew for these, or name a data root that holds the whole "
                "set."
            )
        return self._images[row]

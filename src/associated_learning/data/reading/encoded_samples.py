"""Encoded images or texts of a whole set, of which some are here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, overload

from torch import Tensor

from associated_learning.errors import InputError

__all__ = ["CarriedFile", "EncodedSamples"]


class CarriedFile(NamedTuple):
    """The file that samples are from, and whether they are texts (UTF-8), not images."""

    path: Path
    of_texts: bool


class EncodedSamples(Sequence[bytes | str]):
    """Samples by their rows in a whole set; one that is not here is refused where it is asked for.

    An image is what it was encoded to, a text is decoded.

    Args:
        samples: The samples that are here, encoded, by their rows.
        rows: The rows that this is about, in their order, whether here or not.
        file: Where they are from.
    """

    def __init__(
        self, samples: Mapping[int, bytes], rows: Sequence[int], file: CarriedFile
    ) -> None:
        self._samples, self._rows, self._file = samples, rows, file

    @classmethod
    def of(
        cls, data: Tensor, ends: Tensor, rows: Tensor, length: int, file: CarriedFile
    ) -> EncodedSamples:
        """Return the samples of all rows of a set.

        Args:
            data: The bytes of all samples that are here, one after the other (uint8).
            ends: Where each of them ends.
            rows: The row of each of them.
            length: Number of rows of the whole set.
            file: Where they are from.
        """
        whole, starts = data.numpy().tobytes(), [0, *ends.tolist()]
        places = zip(rows.tolist(), starts, starts[1:], strict=False)
        samples = {row: whole[start:end] for row, start, end in places}
        return cls(samples, range(length), file)

    def subset(self, indices: Tensor) -> EncodedSamples:
        """Return those at ``indices``, in that order; none of them need be here."""
        rows = [self._rows[i] for i in indices.tolist()]
        return EncodedSamples(self._samples, rows, self._file)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> bytes | str: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[bytes | str]: ...
    def __getitem__(self, place: int | slice) -> bytes | str | Sequence[bytes | str]:
        """Return a sample. Raises InputError if it is not here."""
        if isinstance(place, slice):
            return EncodedSamples(self._samples, self._rows[place], self._file)
        row, (path, of_texts) = self._rows[place], self._file
        if row not in self._samples:
            raise InputError(
                f"{path} lacks the {'text' if of_texts else 'image'} of row {row}: it was written "
                "for runs that draw other samples; write it anew for these, or name a data root "
                "that holds the whole set."
            )
        found = self._samples[row]
        return found.decode() if of_texts else found

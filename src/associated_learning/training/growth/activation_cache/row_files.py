"""Rows of tensors in files that are mapped into memory, one row after the other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from typing_extensions import Self

from associated_learning.errors import CheckpointError
from associated_learning.state.digests import DigestedFile, check_files
from associated_learning.state.files import read_json, write_json
from associated_learning.training.growth.activation_cache.columns import Column, Rows
from associated_learning.training.growth.activation_cache.digests import DIGEST_SIZE

__all__ = ["FORMAT", "RowFiles", "Writer"]

FORMAT = 1
_INDEX, _DIGESTS, _LENGTHS = "index.json", "digests.bin", "lengths.bin"


class Writer:
    """Appends samples to the files of a folder, which are complete after `finish`."""

    def __init__(self, folder: Path, columns: Sequence[Column]) -> None:
        self._folder = folder
        self._columns = list(columns)
        self._files = [DigestedFile(folder / _name(i)) for i in range(len(columns))]
        self._digests = DigestedFile(folder / _DIGESTS)
        self._lengths = DigestedFile(folder / _LENGTHS)
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._all():
            file.close()

    def append(self, rows: Rows, which: Sequence[int], digests: Sequence[bytes]) -> None:
        """Append samples of a batch."""
        for file, values in zip(self._files, rows.packed(which), strict=True):
            _write(file, values)
        if rows.lengths is not None:
            _write(self._lengths, rows.lengths.cpu()[which])
        self._digests.write(b"".join(digests))
        self.count += len(digests)

    def finish(self, description: dict[str, Any]) -> None:
        """Write the index, with a JSON-able description that `RowFiles` hands back."""
        columns = [
            {"dtype": str(c.dtype).removeprefix("torch."), "shape": c.shape, "ragged": c.ragged}
            for c in self._columns
        ]
        files = {file.name: file.digest() for file in self._all()}
        index = {"format": FORMAT, "samples": self.count, "columns": columns, "files": files}
        write_json(self._folder / _INDEX, {**index, **description})

    def _all(self) -> list[DigestedFile]:
        return [*self._files, self._digests, self._lengths]


class RowFiles:
    """What a `Writer` wrote, mapped into memory.

    Attributes:
        description: What `Writer.finish` was given.
        columns: What is stored of every sample.
        digests: Of the samples, with the number of each.

    Raises:
        CheckpointError: It is not from this library and version, or truncated.
    """

    def __init__(self, folder: Path) -> None:
        index = read_json(folder / _INDEX)
        if not isinstance(index, dict) or index.pop("format", None) != FORMAT:
            raise CheckpointError(
                f"{folder} holds no cache of this library's version; name another folder, or pass "
                "rebuild=True."
            )
        self._folder, self._files = folder, index.pop("files", {})  # older ones have no digests
        count = index.pop("samples")
        self.columns = [
            Column(getattr(torch, c["dtype"]), tuple(c["shape"]), c["ragged"])
            for c in index.pop("columns")
        ]
        self.description: dict[str, Any] = index
        digests = _mapped(folder / _DIGESTS, torch.uint8, [count, DIGEST_SIZE]).numpy().tobytes()
        self.digests = {digests[i * DIGEST_SIZE : (i + 1) * DIGEST_SIZE]: i for i in range(count)}
        ragged = any(column.ragged for column in self.columns)
        self._lengths = _mapped(folder / _LENGTHS, torch.int64, [count]) if ragged else None
        self._starts = [] if self._lengths is None else _starts(self._lengths)
        self._values = [
            _mapped(
                folder / _name(i),
                column.dtype,
                [self._starts[-1] if column.ragged else count, *column.shape],
            )
            for i, column in enumerate(self.columns)
        ]

    @property
    def nbytes(self) -> int:
        """Bytes of all activations."""
        return sum(values.numel() * values.element_size() for values in self._values)

    def check(self) -> None:
        """Read all files once. Raises CheckpointError if one has changed since it was written."""
        check_files(self._folder, self._files, remedy="Pass rebuild=True to make the cache anew.")

    def read(self, numbers: Sequence[int]) -> tuple[list[Tensor], Tensor | None]:
        """Return copies of samples: the values of each column, and their lengths if ragged."""
        where = torch.tensor(numbers)
        values = [
            self._read_ragged(tensor, numbers) if column.ragged else tensor.index_select(0, where)
            for column, tensor in zip(self.columns, self._values, strict=True)
        ]
        return values, None if self._lengths is None else self._lengths[where]

    def _read_ragged(self, tokens: Tensor, numbers: Sequence[int]) -> Tensor:
        spans = [(self._starts[i], self._starts[i + 1]) for i in numbers]
        longest = max(end - start for start, end in spans)
        padded = tokens.new_zeros([len(spans), longest, *tokens.shape[1:]])
        for row, (start, end) in zip(padded, spans, strict=True):
            row[: end - start] = tokens[start:end]
        return padded


def _name(column: int) -> str:
    return f"activations-{column}.bin"


def _write(file: DigestedFile, tensor: Tensor) -> None:
    file.write(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)


def _starts(lengths: Tensor) -> list[int]:
    return list(itertools.accumulate(lengths.tolist(), initial=0))


def _mapped(path: Path, dtype: torch.dtype, shape: list[int]) -> Tensor:
    """Return the tensor that a file holds, without reading it. Raises CheckpointError."""
    count = math.prod(shape)
    found = path.stat().st_size if path.exists() else 0
    if found != count * dtype.itemsize:
        raise CheckpointError(
            f"{path} holds {found} bytes, expected {count * dtype.itemsize}: it was cut off or "
            "changed. Pass rebuild=True to make the cache anew."
        )
    return torch.from_file(str(path), shared=False, size=count, dtype=dtype).view(shape)

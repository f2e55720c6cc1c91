"""Safetensors files written and read tensor by tensor: no second copy of a layer in memory."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

from associated_learning.errors import CheckpointError
from associated_learning.state.digests import new_digest

__all__ = ["DTYPES", "StoredTensors", "TensorSpec", "read_header", "read_tensor", "write_tensors"]

# from the widest to the narrowest: the order in which safetensors lays tensors out
_NAMES = {
    torch.uint64: "U64",
    torch.int64: "I64",
    torch.float64: "F64",
    torch.complex64: "C64",
    torch.float32: "F32",
    torch.uint32: "U32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.uint16: "U16",
    torch.int16: "I16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
DTYPES = frozenset(_NAMES)  # that a file can hold
_TYPES = {name: dtype for dtype, name in _NAMES.items()}
_ORDER = {dtype: i for i, dtype in enumerate(_NAMES)}
_PIECE = 2**23  # bytes that are hashed and written at once


class TensorSpec(NamedTuple):
    """What a file's header tells of one tensor.

    Attributes:
        dtype: Its type.
        shape: Its shape.
        offset: Where in the file it begins.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    offset: int

    @property
    def nbytes(self) -> int:
        """Its size."""
        return math.prod(self.shape) * self.dtype.itemsize


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write a new file, byte for byte as ``safetensors.torch.save_file`` does; return its digest.

    It is on the disk, not only on its way there, when the function returns.

    Args:
        path: Must not exist.
        tensors: On the CPU.

    Raises:
        OSError: The disk is full or failing; whatever is there of the file is removed.
    """
    names = sorted(tensors, key=lambda name: (_ORDER[tensors[name].dtype], name))
    digest = new_digest()
    try:
        with path.open("xb", buffering=0) as file:
            _write(file, digest, _header(names, tensors))
            for name in names:
                tensor = tensors[name].detach().resolve_conj().resolve_neg()
                _write(file, digest, _bytes(tensor.contiguous()))
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return digest.hexdigest()


def read_header(path: Path) -> dict[str, TensorSpec]:
    """Return what a file holds, without reading it.

    Raises:
        CheckpointError: It is missing, truncated or no safetensors file.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            size = path.stat().st_size
            if length > size:
                raise ValueError("the header is longer than the file")
            header = json.loads(file.read(length))
            header.pop("__metadata__", None)
        specs = {name: _spec(entry, 8 + length) for name, entry in header.items()}
        if size != 8 + length + sum(spec.nbytes for spec in specs.values()):
            raise ValueError(f"{size} bytes are not what the header tells")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(path, error) from error
    return specs


def read_tensor(path: Path, spec: TensorSpec, *, pinned: bool = False) -> Tensor:
    """Read one tensor into fresh memory, pinned where a GPU is to copy from it without waiting.

    Raises:
        CheckpointError: The file ends before the tensor does, or the disk fails.
    """
    tensor = torch.empty(spec.shape, dtype=spec.dtype, pin_memory=pinned)
    view, done = _bytes(tensor), 0
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(spec.offset)
            while done < len(view):
                count = file.readinto(view[done:])
                if not count:
                    raise OSError(f"the file ends {len(view) - done} bytes too early")
                done += count
    except OSError as error:
        raise _unreadable(path, error) from error
    return tensor


class StoredTensors(Mapping[str, Tensor]):
    """The tensors of a file, each read when it is looked at."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.specs: dict[str, TensorSpec] = read_header(path)

    def __getitem__(self, key: str) -> Tensor:
        return read_tensor(self.path, self.specs[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self.specs)

    def __len__(self) -> int:
        return len(self.specs)


def _header(names: list[str], tensors: Mapping[str, Tensor]) -> memoryview:
    entries, end = {}, 0
    for name in names:
        tensor, begin = tensors[name], end
        end += tensor.numel() * tensor.element_size()
        entries[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return memoryview(len(text).to_bytes(8, "little") + text)


def _write(file: BinaryIO, digest: Any, data: memoryview) -> None:
    for begin in range(0, len(data), _PIECE):
        piece = data[begin : begin + _PIECE]
        digest.update(piece)
        while piece:
            piece = piece[file.write(piece) :]


def _bytes(tensor: Tensor) -> memoryview:
    return memoryview(tensor.reshape(-1).view(torch.uint8).numpy())  # type: ignore[arg-type]


def _spec(entry: dict[str, Any], data: int) -> TensorSpec:
    return TensorSpec(
        _TYPES[entry["dtype"]], tuple(entry["shape"]), data + entry["data_offsets"][0]
    )


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{path} cannot be read ({error}); it is missing, truncated or no safetensors file. "
        "Resume from the last checkpoint, or make the store anew."
    )

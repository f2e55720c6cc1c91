"""Structures of tensors as bytes: what travels between processes, and how it is put together."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from associated_learning.errors import PipelineError
from associated_learning.pipeline.processes.memory_layout import (
    MemoryLayout,
    bytes_of,
    memory_layout,
    tensor_of,
)

__all__ = ["Parcel", "pack", "reserve", "unpack"]

_ALIGNMENT = 64  # that of torch's own tensors: kernels may add up in another order elsewhere
_SMALL = 2**16  # bytes up to which a copy costs less than a message


class Parcel(NamedTuple):
    """A structure ready to be sent, or the room to receive it.

    Attributes:
        skeleton: The structure without its tensors, pickled.
        layouts: The forms of its tensors.
        pieces: Their bytes: ``uint8``, small tensors together, large ones each alone.
    """

    skeleton: bytes
    layouts: Sequence[MemoryLayout]
    pieces: Sequence[Tensor]

    @property
    def meta(self) -> bytes:
        """What the other side must know before the pieces come."""
        return pickle.dumps((self.skeleton, self.layouts), protocol=pickle.HIGHEST_PROTOCOL)


def pack(structure: Any, *, bf16: bool = False, gpu: bool = False) -> Parcel:
    """Take a structure apart into a few pieces of bytes.

    A structure is whatever can be pickled, with tensors anywhere in it. Large tensors are not
    copied: they must not change before the pieces are sent.

    Args:
        structure: A tensor in it twice travels once.
        bf16: Round float32 to bfloat16 on the way. It halves the bytes, and what arrives is no
            longer the same bits.
        gpu: Leave CUDA tensors where they are, to be sent from there; else they pass through the
            CPU's memory and arrive in it.

    Raises:
        InputError: A tensor is sparse, quantized or nested.

    Example:
        >>> import torch
        >>> parcel = pack({"s": torch.arange(3), "step": 7})
        >>> arriving = reserve(parcel.meta)
        >>> for piece, room in zip(parcel.pieces, arriving.pieces):
        ...     _ = room.copy_(piece)
        >>> unpack(arriving)
        {'s': tensor([0, 1, 2]), 'step': 7}
    """
    stream = io.BytesIO()
    pickler = _Pickler(stream)
    pickler.dump(structure)
    tensors = [found if gpu else found.cpu() for found in map(Tensor.detach, pickler.found)]
    layouts = [memory_layout(tensor, bf16=bf16) for tensor in tensors]
    contents = [bytes_of(*pair) for pair in zip(tensors, layouts, strict=True)]
    pieces = [_together([contents[i] for i in members]) for members in _shared(layouts)]
    return Parcel(stream.getvalue(), layouts, pieces)


def reserve(meta: bytes, device: torch.device | str = "cuda") -> Parcel:
    """Return the room for a parcel: fill its pieces with what comes, then `unpack` it.

    Args:
        meta: Of the parcel that is coming. It is unpickled: it must be from one's own processes.
        device: Where tensors arrive that are sent from GPU to GPU.
    """
    skeleton, layouts = pickle.loads(meta)
    pieces = []
    for members in _shared(layouts):
        place = device if layouts[members[0]].on_gpu else "cpu"
        size = _ends([layouts[i].nbytes for i in members])[-1]
        pieces.append(torch.empty(size, dtype=torch.uint8, device=place))
    return Parcel(skeleton, layouts, pieces)


def unpack(parcel: Parcel) -> Any:
    """Return the structure; its tensors are views of the pieces."""
    tensors: dict[int, Tensor] = {}
    for members, piece in zip(_shared(parcel.layouts), parcel.pieces, strict=True):
        sizes = [parcel.layouts[i].nbytes for i in members]
        for i, size, end in zip(members, sizes, _ends(sizes), strict=True):
            tensors[i] = tensor_of(piece[end - size : end], parcel.layouts[i])
    return _Unpickler(io.BytesIO(parcel.skeleton), tensors).load()


def _shared(layouts: Sequence[MemoryLayout]) -> list[list[int]]:
    """Return the tensors of each piece: small ones of a kind together, large ones alone."""
    small: dict[bool, list[int]] = {}
    pieces: list[list[int]] = []
    for i, layout in enumerate(layouts):
        if layout.nbytes > _SMALL:
            pieces.append([i])
        else:
            small.setdefault(layout.on_gpu, []).append(i)
    return pieces + list(small.values())


def _ends(sizes: Sequence[int]) -> list[int]:
    """Return where stretches of bytes end that lie one after the other, each aligned."""
    ends = [0]
    for size in sizes:
        begin = -(-ends[-1] // _ALIGNMENT) * _ALIGNMENT
        ends.append(begin + size)
    return ends[1:]


def _together(contents: Sequence[Tensor]) -> Tensor:
    if len(contents) == 1:
        return contents[0]
    sizes = [len(content) for content in contents]
    ends = _ends(sizes)
    piece = torch.empty(ends[-1], dtype=torch.uint8, device=contents[0].device)
    for content, size, end in zip(contents, sizes, ends, strict=True):
        piece[end - size : end] = content
    return piece


class _Pickler(pickle.Pickler):
    """Leaves tensors out and collects them."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, protocol=pickle.HIGHEST_PROTOCOL)
        self.found: list[Tensor] = []
        self._numbers: dict[int, int] = {}

    def persistent_id(self, obj: Any) -> int | None:
        if not isinstance(obj, Tensor):
            return None
        number = self._numbers.setdefault(id(obj), len(self.found))
        if number == len(self.found):
            self.found.append(obj)  # kept, so that no other object gets its id meanwhile
        return number

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, BaseException):
            return pickle.loads, (pickle.dumps(_portable(obj)),)
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    """Puts the tensors back."""

    def __init__(self, stream: io.BytesIO, tensors: Mapping[int, Tensor]) -> None:
        super().__init__(stream)
        self._tensors = tensors

    def persistent_load(self, pid: Any) -> Tensor:
        return self._tensors[pid]


def _portable(error: BaseException) -> BaseException:
    """Return an error that arrives as it is, or its text in one that does: news of it must."""
    try:
        again = pickle.loads(pickle.dumps(error))
        if type(again) is type(error) and str(again) == str(error):
            return error
    except Exception:  # whatever the constructor of a foreign error makes of its arguments
        pass
    return PipelineError(f"{type(error).__name__}: {error}")

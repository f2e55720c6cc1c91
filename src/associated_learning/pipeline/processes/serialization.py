"""Structures of tensors as bytes: what travels between processes, and how it is put together.

A message is a frame: a small header of a fixed form and version (what the structure is, and how
its tensors look), then the raw bytes of the tensors. Nothing is pickled, and sizes and types are
checked before anything is allocated.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from associated_learning.errors import PipelineError
from associated_learning.pipeline.processes.memory_layout import (
    MemoryLayout,
    bytes_of,
    layout_from_json,
    layout_to_json,
    memory_layout,
    tensor_of,
)
from associated_learning.pipeline.processes.structures import decode, encode
from associated_learning.state.files import parse_json

__all__ = ["LARGEST_META", "Parcel", "pack", "reserve", "unpack"]

LARGEST_META = 2**26  # bytes of a header

_ALIGNMENT = 64  # that of torch's own tensors: kernels may add up in another order elsewhere
_MAGIC = b"AL\0\1"  # how a header begins: this library, and the version of the form
_MOST_TENSORS = 2**18
_SMALL = 2**16  # bytes up to which a copy costs less than a message


class Parcel(NamedTuple):
    """A structure ready to be sent, or the room to receive it.

    Attributes:
        skeleton: The structure without its tensors, as JSON-able values.
        layouts: The forms of its tensors.
        pieces: Their bytes: ``uint8``, small tensors together, large ones each alone.
    """

    skeleton: Any
    layouts: Sequence[MemoryLayout]
    pieces: Sequence[Tensor]

    @property
    def meta(self) -> bytes:
        """What the other side must know before the pieces come."""
        told = [self.skeleton, [layout_to_json(layout) for layout in self.layouts]]
        return _MAGIC + json.dumps(told, separators=(",", ":"), allow_nan=False).encode()


def pack(structure: Any, *, bf16: bool = False, gpu: bool = False) -> Parcel:
    """Take a structure apart into a few pieces of bytes.

    A structure is tensors and plain values in lists, tuples, mappings, named tuples or dataclasses,
    or an error. Large tensors are not copied: they must not change before the pieces are sent.

    Args:
        structure: A tensor in it twice travels once.
        bf16: Round float32 to bfloat16 on the way. It halves the bytes, and what arrives is no
            longer the same bits.
        gpu: Leave CUDA tensors where they are, to be sent from there; else they pass through the
            CPU's memory and arrive in it.

    Raises:
        InputError: A tensor is sparse, quantized or nested, or something else is in it.

    Example:
        >>> import torch
        >>> parcel = pack({"s": torch.arange(3), "step": 7})
        >>> arriving = reserve(parcel.meta)
        >>> for piece, room in zip(parcel.pieces, arriving.pieces):
        ...     _ = room.copy_(piece)
        >>> unpack(arriving)
        {'s': tensor([0, 1, 2]), 'step': 7}
    """
    found = _Found()
    skeleton = encode(structure, found.number)
    tensors = [one if gpu else one.cpu() for one in map(Tensor.detach, found.tensors)]
    layouts = [memory_layout(tensor, bf16=bf16) for tensor in tensors]
    contents = [bytes_of(*pair) for pair in zip(tensors, layouts, strict=True)]
    pieces = [_together([contents[i] for i in members]) for members in _shared(layouts)]
    return Parcel(skeleton, layouts, pieces)


def reserve(meta: bytes, device: torch.device | str = "cuda") -> Parcel:
    """Return the room for a parcel: fill its pieces with what comes, then `unpack` it.

    Args:
        meta: Of the parcel that is coming.
        device: Where tensors arrive that are sent from GPU to GPU.

    Raises:
        PipelineError: It is malformed, of another version, or asks for more than there is memory.
    """
    skeleton, layouts = _read(meta)
    pieces = []
    for members in _shared(layouts):
        place = device if layouts[members[0]].on_gpu else "cpu"
        size = _ends([layouts[i].nbytes for i in members])[-1]
        pieces.append(torch.empty(size, dtype=torch.uint8, device=place))
    return Parcel(skeleton, layouts, pieces)


def unpack(parcel: Parcel) -> Any:
    """Return the structure; its tensors are views of the pieces.

    Raises:
        PipelineError: It is malformed.
    """
    tensors: dict[int, Tensor] = {}
    for members, piece in zip(_shared(parcel.layouts), parcel.pieces, strict=True):
        sizes = [parcel.layouts[i].nbytes for i in members]
        for i, size, end in zip(members, sizes, _ends(sizes), strict=True):
            tensors[i] = tensor_of(piece[end - size : end], parcel.layouts[i])
    return decode(parcel.skeleton, tensors)


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


class _Found:
    """Takes tensors out of a structure, each once."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self._numbers: dict[int, int] = {}

    def number(self, tensor: Tensor) -> int:
        """Return the number of a tensor."""
        number = self._numbers.setdefault(id(tensor), len(self.tensors))
        if number == len(self.tensors):
            self.tensors.append(tensor)  # kept, so that no other object gets its id meanwhile
        return number


def _read(meta: bytes) -> tuple[Any, list[MemoryLayout]]:
    """Read a header, and check all that it says before anybody relies on it."""
    try:
        if not meta.startswith(_MAGIC) or len(meta) > LARGEST_META:
            raise ValueError("it is no header of this version")
        skeleton, told = parse_json(meta[len(_MAGIC) :])
        if len(told) > _MOST_TENSORS:
            raise ValueError(f"it announces {len(told)} tensors")
        layouts = [layout_from_json(one) for one in told]
        size = sum(max(layout.nbytes, layout.reach) for layout in layouts)
        if size > _memory():
            raise ValueError(f"it announces {size} bytes")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise PipelineError(
            f"a message from another process is malformed ({str(error)[:200]}); only processes of "
            "this library's version may take part in a run: see the page Security."
        ) from error
    return skeleton, layouts


def _memory() -> int:
    """Return the bytes of memory of this machine."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on every system
        return 2**40

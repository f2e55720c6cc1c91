"""How a tensor lies in memory: its bytes, and the same tensor made of them elsewhere."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from associated_learning.errors import InputError
from associated_learning.pipeline.processes.structures import DTYPES

__all__ = [
    "MemoryLayout",
    "bytes_of",
    "layout_from_json",
    "layout_to_json",
    "memory_layout",
    "tensor_of",
]

_MOST_DIMENSIONS = 64
_LARGEST = 2**48  # of a size or a stride


class MemoryLayout(NamedTuple):
    """The form of a tensor, and that of its bytes on the way to another process.

    Attributes:
        dtype: Its type.
        wire_dtype: Its type on the way; bfloat16 where it is rounded.
        shape: Its shape.
        stride: Its strides. They are kept, because kernels choose their way by them, and with it
            the last bits of what they compute.
        on_gpu: Whether its bytes are in a GPU's memory.
    """

    dtype: torch.dtype
    wire_dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    on_gpu: bool = False

    @property
    def held(self) -> tuple[int, ...]:
        """The shape of what is in memory: a dimension that was only expanded has size 1."""
        pairs = zip(self.shape, self.stride, strict=True)
        return tuple(1 if size > 1 and step == 0 else size for size, step in pairs)

    @property
    def order(self) -> list[int]:
        """The dimensions from the slowest to the fastest: the order of the bytes."""
        return sorted(range(len(self.stride)), key=lambda i: -self.stride[i])

    @property
    def nbytes(self) -> int:
        """The number of bytes on the way."""
        return math.prod(self.held) * self.wire_dtype.itemsize

    @property
    def reach(self) -> int:
        """The number of bytes from the first value in memory to the end of the last one."""
        pairs = zip(self.held, self.stride, strict=True)
        last = sum((size - 1) * step for size, step in pairs if size > 0)
        return 0 if 0 in self.held else (last + 1) * self.dtype.itemsize


def layout_to_json(layout: MemoryLayout) -> list[Any]:
    """Return a layout as JSON-able values."""
    dtypes = [str(dtype).removeprefix("torch.") for dtype in (layout.dtype, layout.wire_dtype)]
    return [*dtypes, list(layout.shape), list(layout.stride), layout.on_gpu]


def layout_from_json(values: Any) -> MemoryLayout:
    """Return the layout that `layout_to_json` gave.

    Raises:
        ValueError, TypeError, KeyError: It is no layout of a tensor that could have been sent.
    """
    dtype, wire_dtype, shape, stride, on_gpu = values
    layout = MemoryLayout(DTYPES[dtype], DTYPES[wire_dtype], tuple(shape), tuple(stride), on_gpu)
    rounded = (torch.float32, torch.bfloat16)
    if wire_dtype != dtype and (layout.dtype, layout.wire_dtype) != rounded:
        raise ValueError(f"{dtype} does not travel as {wire_dtype}")
    if len(shape) > _MOST_DIMENSIONS or len(shape) != len(stride) or type(on_gpu) is not bool:
        raise ValueError(f"{len(shape)} sizes came with {len(stride)} strides")
    if not all(type(n) is int and 0 <= n <= _LARGEST for n in (*shape, *stride)):
        raise ValueError("a size or a stride is out of range")
    if math.prod(shape) >= 2**62 or _overlaps(layout):
        raise ValueError(f"no tensor lies in memory as {shape} with the strides {stride}")
    return layout


def memory_layout(tensor: Tensor, *, bf16: bool = False) -> MemoryLayout:
    """Return how a tensor lies in memory, and rounded to bfloat16 on the way if that is asked for.

    Raises:
        InputError: It is sparse, quantized or of another kind without plain memory.
    """
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_nested:
        raise InputError(
            f"a tensor of layout {tensor.layout} and type {tensor.dtype} came; only plain dense "
            "tensors travel between processes. Convert it (to_dense, dequantize) in the encoder."
        )
    rounded = bf16 and tensor.dtype is torch.float32
    wire_dtype = torch.bfloat16 if rounded else tensor.dtype
    shape, stride = tuple(tensor.shape), tensor.stride()
    layout = MemoryLayout(tensor.dtype, wire_dtype, shape, stride, tensor.is_cuda)
    if _overlaps(layout):
        return layout._replace(stride=torch.empty(shape, device="meta").stride())
    return layout


def bytes_of(tensor: Tensor, layout: MemoryLayout) -> Tensor:
    """Return the bytes of a tensor, ``[layout.nbytes]``; without a copy if they lie together."""
    if tensor.stride() != layout.stride:
        tensor = tensor.contiguous()
    held = tensor.as_strided(layout.held, layout.stride)
    values = held.permute(layout.order).to(layout.wire_dtype)
    values = values.resolve_conj().resolve_neg().contiguous()
    # not flatten(): it leaves a single value the stride it has, and view() wants 1
    return values.as_strided([values.numel()], [1]).view(torch.uint8)


def tensor_of(content: Tensor, layout: MemoryLayout) -> Tensor:
    """Return the tensor that `bytes_of` made ``content`` of; a view of it where that can be."""
    order, held = layout.order, layout.held
    values = content.view(layout.wire_dtype).to(layout.dtype).view([held[i] for i in order])
    tensor = values.permute([order.index(i) for i in range(len(order))])
    steps = zip(tensor.stride(), layout.stride, held, strict=True)
    if any(mine != wanted for mine, wanted, size in steps if size > 1):  # there are gaps in it
        tensor = torch.empty_strided(
            held, layout.stride, dtype=layout.dtype, device=content.device
        ).copy_(tensor)
    return tensor.as_strided(layout.shape, layout.stride)


def _overlaps(layout: MemoryLayout) -> bool:
    """Return whether values share memory other than by expansion, as after ``Tensor.unfold``."""
    reach = 0
    for step, size in sorted(zip(layout.stride, layout.held, strict=True)):
        if size > 1 and step <= reach:
            return True
        reach += step * (size - 1)
    return False

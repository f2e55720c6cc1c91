"""Host memory that a GPU copies from and to beside its kernels, of exactly the size asked for."""

from __future__ import annotations

import math
import mmap
import weakref
from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["PinnedMemory"]

_SMALL = 2**20  # bytes; below it rounding up costs little, and torch keeps such blocks


class PinnedMemory:
    """Makes pinned tensors that live as long as it does.

    ``torch.empty(pin_memory=True)`` takes the next power of two of bytes, up to twice as much as is
    needed: a matrix of 4096 x 11008 has 172 MiB and would hold 256. Here large tensors get pages of
    their own, which are registered with CUDA; where it refuses, torch's own way is taken.

    Example:
        >>> import torch
        >>> memory = PinnedMemory()
        >>> memory.empty([2, 3], torch.int8).shape  # doctest: +SKIP
        torch.Size([2, 3])
    """

    def __init__(self) -> None:
        self._pages: list[tuple[mmap.mmap, int]] = []
        # the pages are there until CUDA has let them go, and longer where a tensor is left
        weakref.finalize(self, _let_go, self._pages)

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Return a tensor whose values are arbitrary."""
        size = math.prod(shape) * dtype.itemsize
        if size >= _SMALL:
            pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            if hasattr(mmap, "MADV_HUGEPAGE"):  # fewer pages to find and to pin
                pages.madvise(mmap.MADV_HUGEPAGE)
            tensor = torch.frombuffer(pages, dtype=torch.uint8).view(dtype).view(*shape)
            if _register(tensor.data_ptr(), size):
                self._pages.append((pages, tensor.data_ptr()))
                return tensor
        return torch.empty(tuple(shape), dtype=dtype, device="cpu", pin_memory=True)


def _register(address: int, size: int) -> bool:
    """Return whether CUDA has pinned the pages."""
    return int(torch.cuda.cudart().cudaHostRegister(address, size, 0)) == 0  # type: ignore[no-untyped-call]


def _let_go(pages: list[tuple[mmap.mmap, int]]) -> None:
    if pages:
        torch.cuda.synchronize()
    for _, address in pages:
        torch.cuda.cudart().cudaHostUnregister(address)  # type: ignore[no-untyped-call]
    pages.clear()

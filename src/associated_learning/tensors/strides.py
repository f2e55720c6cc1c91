"""Copies of tensors that lie in memory as others do.

Kernels choose their way by strides, and with it the last bits of what they compute; some take for
granted that a weight, its gradient and its moments lie alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from associated_learning.tensors.hollow import Tensors

__all__ = ["Strides", "is_dense", "shared_memory", "with_strides"]


def with_strides(
    values: Tensor, strides: Sequence[int], make: Callable[[int], Tensor] | None = None
) -> Tensor:
    """Return a copy with the same values and other strides.

    Args:
        values: A tensor.
        strides: One for each dimension; 0 for one that is only expanded.
        make: Returns flat memory for so many numbers; by default on the same device.

    Example:
        >>> x = torch.arange(6.0).view(2, 3)
        >>> copy = with_strides(x, (1, 2))
        >>> copy.stride(), torch.equal(copy, x)
        ((1, 2), True)
    """
    steps = zip(values.shape, strides, strict=True)
    count = 1 + sum((size - 1) * step for size, step in steps) if values.numel() else 0
    flat = values.new_empty(count) if make is None else make(count)
    copy = flat.as_strided(values.shape, strides)
    _in_memory(copy, strides).copy_(_in_memory(values, strides), non_blocking=True)
    return copy


def _in_memory(tensor: Tensor, strides: Sequence[int]) -> Tensor:
    """Return the part of an expanded tensor that the rest repeats."""
    for axis, step in enumerate(strides):
        if step == 0 and tensor.shape[axis] > 1:
            tensor = tensor.narrow(axis, 0, 1)
    return tensor


def is_dense(tensor: Tensor) -> bool:
    """Return whether a tensor fills its memory, so that what is made like it lies as it does.

    Example:
        >>> x = torch.zeros(4, 6)
        >>> is_dense(x), is_dense(x.t()), is_dense(x[:, ::2])
        (True, True, False)
    """
    return torch.empty_like(tensor, device="meta").stride() == tensor.stride()


def shared_memory(tensors: Mapping[str, Tensor]) -> tuple[str, str] | None:
    """Return the names of two tensors that lie in the same memory; None if there are none.

    One tensor under two names, as of tied weights, is no such pair.
    """
    spans: list[tuple[int, int, str]] = []
    for name, tensor in {id(t): (name, t) for name, t in tensors.items()}.values():
        if tensor.numel() > 0:
            steps = zip(tensor.shape, tensor.stride(), strict=True)
            count = 1 + sum((size - 1) * step for size, step in steps)
            begin = tensor.data_ptr()
            spans.append((begin, begin + count * tensor.element_size(), name))
    spans.sort()
    for (_, end, one), (begin, _, other) in pairwise(spans):
        if begin < end:
            return one, other
    return None


class Strides:
    """Remembers the strides of tensors that are kept elsewhere, where they lie one after another.

    Example:
        >>> strides, x = Strides(), torch.zeros(2, 3).t()
        >>> strides.note("layer-1", {"w": x})
        >>> strides.restored("layer-1", {"w": x.contiguous()})["w"].stride()
        (1, 3)
    """

    def __init__(self) -> None:
        self._known: dict[str, dict[str, tuple[int, ...]]] = {}

    def note(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Remember how the tensors of a name lie in memory."""
        found = {key: t.stride() for key, t in tensors.items() if not t.is_contiguous()}
        self._known[name] = found

    def restored(self, name: str, tensors: Mapping[str, Tensor]) -> Tensors:
        """Return tensors of a name as they lay in memory; those that did not move are the same."""
        known, found = self._known.get(name, {}), dict(tensors)
        for key in known.keys() & found.keys():
            found[key] = with_strides(found[key], known[key])
            if found[key].is_cuda:  # it may be read on another stream
                torch.cuda.current_stream(found[key].device).synchronize()
        return found

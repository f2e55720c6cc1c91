"""Tensors without their memory: what stands in a layer while its state lies elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from associated_learning.tensors.copying import copied

__all__ = [
    "Tensors",
    "fill",
    "give_memory",
    "hollow",
    "hollow_copy",
    "hollow_tensor",
    "is_hollow",
    "values_of",
    "weights_of",
]

Tensors = dict[str, Tensor]
T = TypeVar("T")
_NUMBERS = 3  # in the memory of a hollow tensor, which shows the middle one: none of a user's does


def weights_of(part: nn.Module) -> Tensors:
    """Return the live weights and buffers of a module that a checkpoint holds, by name."""
    state = part.state_dict(keep_vars=True)  # the parameters themselves
    return {key: value for key, value in state.items() if isinstance(value, Tensor)}


def values_of(tensors: Mapping[str, Tensor]) -> Tensors:
    """Return the memory that live tensors have now."""
    return {key: tensor.data for key, tensor in tensors.items()}


def hollow(tensors: Iterable[Tensor], device: torch.device) -> None:
    """Take the memory away from live tensors, which keep shape, type and identity.

    Whoever reads one gets NaN and whoever writes into one an error, so that no use of a layer
    that is elsewhere passes for one of the layer. Single numbers stay as they are, and so do
    sparse and quantized tensors.
    """
    for tensor in tensors:
        if tensor.numel() > 1 and tensor.layout is torch.strided and not tensor.is_quantized:
            tensor.data = hollow_tensor(tensor.shape, tensor.dtype, device)


def hollow_tensor(
    shape: Sequence[int],
    dtype: torch.dtype,
    device: torch.device | None = None,
    value: float | None = None,
) -> Tensor:
    """Return a tensor with the memory of a few numbers, all of which read as ``value``."""
    number = _nothing(dtype) if value is None else value
    return torch.full((_NUMBERS,), number, dtype=dtype, device=device)[1].expand(tuple(shape))


def is_hollow(tensor: Tensor) -> bool:
    """Return whether `hollow` took a tensor's memory."""
    return (
        not is_lazy(tensor)
        and tensor.numel() > 1
        and tensor.layout is torch.strided
        and tensor.storage_offset() == 1
        and tensor.untyped_storage().nbytes() == _NUMBERS * tensor.element_size()
    )


def fill(live: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    """Give live tensors memory with what is in it; single numbers never lost theirs."""
    for key, tensor in live.items():
        if tensor.numel() > 1:
            tensor.data = values[key]


def give_memory(tensors: Iterable[Tensor]) -> None:
    """Give hollow tensors memory of their own, to be written before it is read."""
    for tensor in tensors:
        if is_hollow(tensor):
            tensor.data = torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device)


def hollow_copy(structure: T, tensors: Iterable[Tensor]) -> T:
    """Return a deep copy of a structure, modules say, in which some of its tensors are hollow.

    Args:
        structure: Anything that can be copied.
        tensors: Those in it that are not to be copied; single numbers are all the same.

    Example:
        >>> linear = nn.Linear(3, 2)
        >>> is_hollow(hollow_copy(linear, linear.parameters()).weight)
        True
    """
    twins = {id(tensor): _twin(tensor) for tensor in tensors if tensor.numel() > 1}
    return copied(structure, twins)


def _twin(tensor: Tensor) -> Tensor:
    nothing = hollow_tensor(tensor.shape, tensor.dtype, tensor.device)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(nothing, tensor.requires_grad)
    return nothing


def _nothing(dtype: torch.dtype) -> float | int:
    if dtype.is_floating_point or dtype.is_complex:
        return float("nan")
    return 0 if dtype is torch.bool else torch.iinfo(dtype).min

"""Tensors without their memory: what stands in a layer while its state lies elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from associated_learning.pipeline.stage import Stage

__all__ = [
    "Tensors",
    "files_of",
    "fill",
    "hollow",
    "is_hollow",
    "nbytes_of",
    "values_of",
    "weights_of",
]

Tensors = dict[str, Tensor]


def files_of(stage: Stage, *, optimizers: bool = True) -> dict[str, Tensors]:
    """Return the live tensors of some layers by the files of a checkpoint that hold them.

    Args:
        stage: The layers.
        optimizers: Whether those of the optimizers are wanted too.
    """
    found = {name: weights_of(part) for name, part in stage.parts.items()}
    if optimizers:
        for number, optimizer in enumerate(stage.optimizers, start=stage.first):
            if optimizer is not None:
                found[f"optimizer-{number}"] = _of_optimizer(optimizer)
    return found


def weights_of(part: nn.Module) -> Tensors:
    """Return the live weights and buffers of a module that a checkpoint holds, by name."""
    state = part.state_dict(keep_vars=True)  # the parameters themselves
    return {key: value for key, value in state.items() if isinstance(value, Tensor)}


def _of_optimizer(optimizer: Optimizer) -> Tensors:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    return {
        f"{index}.{name}": value
        for index, parameter in enumerate(parameters)
        for name, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def values_of(tensors: Mapping[str, Tensor]) -> Tensors:
    """Return the memory that live tensors have now."""
    return {key: tensor.data for key, tensor in tensors.items()}


def hollow(tensors: Iterable[Tensor], device: torch.device) -> None:
    """Take the memory away from live tensors, which keep shape, type and identity.

    Whoever reads one gets NaN and whoever writes into one an error, so that no use of a layer
    that is elsewhere passes for one of the layer. Single numbers stay as they are.
    """
    for tensor in tensors:
        if tensor.numel() > 1:
            empty = torch.full((), _nothing(tensor.dtype), dtype=tensor.dtype, device=device)
            tensor.data = empty.expand(tensor.shape)


def is_hollow(tensor: Tensor) -> bool:
    """Return whether `hollow` took a tensor's memory."""
    return tensor.numel() > 1 and tensor.untyped_storage().nbytes() == tensor.element_size()


def fill(live: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    """Give live tensors memory with what is in it; single numbers never lost theirs."""
    for key, tensor in live.items():
        if tensor.numel() > 1:
            tensor.data = values[key]


def nbytes_of(tensors: Iterable[Tensor]) -> int:
    """Return the bytes of tensors, whether or not they are hollow."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _nothing(dtype: torch.dtype) -> float | int:
    if dtype.is_floating_point or dtype.is_complex:
        return float("nan")
    return 0 if dtype is torch.bool else torch.iinfo(dtype).min

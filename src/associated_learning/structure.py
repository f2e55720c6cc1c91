"""Activations may be structures (a sequence with lengths, a recurrent state): map over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

__all__ = ["detach", "map_tensors", "tensors_in", "to_device"]


def map_tensors(function: Callable[[Tensor], Tensor], structure: Any) -> Any:
    """Apply ``function`` to every tensor in nested tuples, named tuples, lists and dicts.

    Anything that is no tensor and no container passes through unchanged.

    Example:
        >>> import torch
        >>> map_tensors(lambda t: t + 1, {"a": torch.zeros(2), "b": (None, 3)})
        {'a': tensor([1., 1.]), 'b': (None, 3)}
    """
    if isinstance(structure, Tensor):
        return function(structure)
    if isinstance(structure, dict):
        return {key: map_tensors(function, value) for key, value in structure.items()}
    if isinstance(structure, (tuple, list)):
        items = [map_tensors(function, value) for value in structure]
        if hasattr(structure, "_fields"):
            return type(structure)(*items)
        return type(structure)(items)
    return structure


def tensors_in(structure: Any) -> Iterator[Tensor]:
    """Yield every tensor of a structure, depth first."""
    if isinstance(structure, Tensor):
        yield structure
    elif isinstance(structure, dict):
        for value in structure.values():
            yield from tensors_in(value)
    elif isinstance(structure, (tuple, list)):
        for value in structure:
            yield from tensors_in(value)


def detach(structure: Any) -> Any:
    """Cut every tensor of a structure from the graph that made it."""
    return map_tensors(Tensor.detach, structure)


def to_device(structure: Any, device: torch.device | str) -> Any:
    """Move every tensor of a structure to ``device``."""
    return map_tensors(lambda tensor: tensor.to(device, non_blocking=True), structure)

"""Activations may be structures (a sequence with lengths, a recurrent state): map over them."""

from __future__ import annotations

import copy
from collections.abc import Callable, MutableMapping
from dataclasses import Field, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from associated_learning.errors import InputError

__all__ = ["detach", "map_tensors", "tensors_in", "to_device"]


_PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device)


def map_tensors(function: Callable[[Tensor], Tensor], structure: Any) -> Any:
    """Apply ``function`` to every tensor of a structure and build it again around them.

    A structure is a tensor, a plain value (number, text, None), or a tuple, named tuple, list,
    mapping or dataclass of structures.

    Raises:
        InputError: Something else came: its tensors could not be seen, and so not be cut.

    Example:
        >>> import torch
        >>> map_tensors(lambda t: t + 1, {"a": torch.zeros(2), "b": (None, 3)})
        {'a': tensor([1., 1.]), 'b': (None, 3)}
    """
    if isinstance(structure, Tensor):
        return function(structure)
    if isinstance(structure, _PLAIN):
        return structure
    if is_dataclass(structure) and not isinstance(structure, type):
        items = {
            f.name: map_tensors(function, getattr(structure, f.name)) for f in _init(structure)
        }
        return replace(structure, **items)
    if isinstance(structure, MutableMapping):
        again = copy.copy(structure)  # of the same kind, with what else the kind may hold
        again.update({key: map_tensors(function, value) for key, value in structure.items()})
        return again
    if isinstance(structure, (tuple, list)):
        values = [map_tensors(function, value) for value in structure]
        named = hasattr(structure, "_fields")
        return type(structure)(*values) if named else type(structure)(values)
    raise InputError(
        f"an activation of type {type(structure).__name__} came; expected tensors in tuples, "
        "lists, dictionaries or dataclasses, so that gradients can be cut between layers."
    )


def _init(structure: Any) -> list[Field[Any]]:
    return [field for field in fields(structure) if field.init]


def tensors_in(structure: Any) -> list[Tensor]:
    """Return every tensor of a structure, depth first."""
    found: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    map_tensors(keep, structure)
    return found


def detach(structure: Any) -> Any:
    """Cut every tensor of a structure from the graph that made it."""
    return map_tensors(Tensor.detach, structure)


def to_device(structure: Any, device: torch.device | str) -> Any:
    """Move every tensor of a structure to ``device``."""
    return map_tensors(lambda tensor: tensor.to(device, non_blocking=True), structure)

"""Tensors in containers: changed one by one, or kept as they are now."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn

from associated_learning.conversion.tracing.call import leaves

__all__ = ["kept", "map_tensors", "modules_in"]


def map_tensors(function: Callable[[Tensor], Tensor], structure: Any) -> Any:
    """Apply a function to the tensors of tuples, lists and mappings; leave the rest alone."""
    if isinstance(structure, Tensor):
        return function(structure)
    if isinstance(structure, (tuple, list)):
        values = [map_tensors(function, value) for value in structure]
        return (
            type(structure)(*values) if hasattr(structure, "_fields") else type(structure)(values)
        )
    if isinstance(structure, dict) and hasattr(structure, "__dataclass_fields__"):
        for name, value in list(structure.items()):  # transformers' outputs, both at once
            structure[name] = map_tensors(function, value)
        return structure
    if isinstance(structure, dict):
        parts = {key: map_tensors(function, value) for key, value in structure.items()}
        return type(structure)(parts)
    return structure


def kept(structure: Any) -> Any:
    """Return a structure that does not change when a model goes on with the one it was made of.

    Lists that are appended to, dictionaries that a module writes into: a call is written down
    with what it got, not with what became of it.
    """
    if type(structure) in (list, tuple):
        return type(structure)(kept(part) for part in structure)
    if type(structure) is dict:
        return {key: kept(part) for key, part in structure.items()}
    if isinstance(structure, (list, dict)):
        return _kept_container(structure)
    if hasattr(structure, "__dataclass_fields__") and not isinstance(structure, (type, nn.Module)):
        # a configuration stays the object that the model keeps
        holds = any(isinstance(leaf, Tensor) for leaf in leaves(structure))
        return _kept_fields(structure) if holds else structure
    return structure


def _kept_container(structure: Any) -> Any:
    """Keep a list or dictionary of a type of its own: a copy, with copies of its parts."""
    other = copy.copy(structure)
    for key in structure if isinstance(structure, dict) else range(len(structure)):
        part = kept(structure[key])
        if part is not structure[key]:
            other[key] = part
    return other


def _kept_fields(structure: Any) -> Any:
    other = copy.copy(structure)
    for name in structure.__dataclass_fields__:
        if hasattr(structure, name):
            object.__setattr__(other, name, kept(getattr(structure, name)))
    return other


def modules_in(structure: Any) -> Iterator[nn.Module]:
    """Yield the modules among the parts of tuples, lists and dictionaries."""
    if isinstance(structure, nn.Module):
        yield structure
    elif isinstance(structure, (tuple, list)):
        for part in structure:
            yield from modules_in(part)
    elif isinstance(structure, dict):
        yield from modules_in(list(structure.values()))

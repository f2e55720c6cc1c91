"""Functions that a recording takes as one piece, such as those that make attention masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

__all__ = ["namespaces", "opaque", "opaque_functions", "warning_methods"]

_MARK = "_associated_learning_opaque"
# They look at the content of the mask (is anything padded at all?), which a recording of what
# they did once could not repeat.
_WARNINGS = ("warn_if_padding_and_no_attention_mask",)  # methods that look at data, to warn
_MODULES = ("transformers.masking_utils", "transformers.modeling_attn_mask_utils")


def opaque(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a function that makes masks or the like: conversion calls it and never looks inside.

    For functions that depend on the content of tensors (``if mask.all():``) and are called
    between the blocks of a model, by their name in the file where the model's class stands. What
    they return counts as a side input, not as an activation: no gradient is asked of it.

    Example:
        >>> import associated_learning as al
        >>> @al.opaque
        ... def without_padding(mask):
        ...     return None if mask.all() else mask
    """
    setattr(function, _MARK, True)
    return function


def opaque_functions(
    model: nn.Module,
) -> Iterator[tuple[dict[str, Any], str, Callable[..., Any]]]:
    """Yield the opaque functions that a model's classes can see: namespace, name, function."""
    for namespace in namespaces(model):
        for name, value in list(namespace.items()):
            if callable(value) and _is_opaque(value):
                yield namespace, name, value


def namespaces(model: nn.Module) -> list[dict[str, Any]]:
    """Return the global names that the forward functions of a model's modules see."""
    kinds = {base for module in model.modules() for base in type(module).__mro__}
    found = (getattr(vars(kind).get("forward"), "__globals__", None) for kind in kinds)
    return list({id(namespace): namespace for namespace in found if namespace}.values())


def warning_methods(model: nn.Module) -> set[tuple[type, str]]:
    """Return the methods of a model's classes that look at tensors only to warn: class, name."""
    kinds = {base for module in model.modules() for base in type(module).__mro__}
    return {(kind, name) for kind in kinds for name in _WARNINGS if name in vars(kind)}


def _is_opaque(value: Any) -> bool:
    if isinstance(value, type):
        return False
    marked = getattr(value, "__dict__", {}).get(_MARK, False)
    return bool(marked) or getattr(value, "__module__", None) in _MODULES

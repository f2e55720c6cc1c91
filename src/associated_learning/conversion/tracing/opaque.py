"""Functions that a recording takes as one piece, such as those that make attention masks."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import torch
from torch import nn
from torch.nn.utils import rnn

__all__ = [
    "is_atomic",
    "namespaces",
    "opaque",
    "opaque_functions",
    "warning_methods",
    "whole_functions",
]

_MARK = "_associated_learning_opaque"
# They look at the content of the mask (is anything padded at all?), which a recording of what
# they did once could not repeat.
_WARNINGS = ("warn_if_padding_and_no_attention_mask",)  # methods that look at data, to warn
_MODULES = ("transformers.masking_utils", "transformers.modeling_attn_mask_utils")
# They sort the samples, so that rows between their calls are no samples of the batch's order.
_PACKING = (rnn.pack_padded_sequence, rnn.pad_packed_sequence, rnn.pack_sequence)
_LIBRARIES = {"torch", "numpy", "builtins", "einops", *sys.stdlib_module_names}


def opaque(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a function that makes masks or the like: conversion calls it and never looks inside.

    For functions that depend on the content of tensors (``if mask.all():``) and are called
    between the blocks of a model, by their name in the file where the model's class stands. What
    they return counts as a side input, not as an activation: no gradient is asked of it.

    Args:
        function: Called by a model's forward.

    Returns:
        The same function.

    Example:
        >>> import associated_learning as al
        >>> @al.opaque
        ... def without_padding(mask):
        ...     return None if mask.all() else mask
    """
    setattr(function, _MARK, True)
    return function


def opaque_functions(
    seen: list[dict[str, Any]],
) -> Iterator[tuple[dict[str, Any], str, Callable[..., Any]]]:
    """Yield the opaque functions among global names: namespace, name, function."""
    for namespace in seen:
        for name, value in list(namespace.items()):
            if isinstance(value, FunctionType) and _is_opaque(value):
                yield namespace, name, value


def whole_functions(
    seen: list[dict[str, Any]],
) -> Iterator[tuple[dict[str, Any], str, Callable[..., Any]]]:
    """Yield the functions that are one call, gradients included: packing, and TorchScript's."""
    for namespace in [*seen, vars(rnn)]:
        for name, value in list(namespace.items()):
            if value in _PACKING if isinstance(value, FunctionType) else _is_scripted(value):
                yield namespace, name, value


def namespaces(model: nn.Module) -> list[dict[str, Any]]:
    """Return the global names that a model's code sees: its classes', and its functions' own."""
    kinds = {base for module in model.modules() for base in type(module).__mro__}
    functions = [value for kind in kinds for value in vars(kind).values()]
    found: dict[int, dict[str, Any]] = {}
    for _ in range(2):  # the functions of the classes, and those that these call by name
        plain = [_unwrapped(value) for value in functions if isinstance(value, FunctionType)]
        scopes = [function.__globals__ for function in plain if _is_of_the_model(function)]
        fresh = {id(scope): scope for scope in scopes if id(scope) not in found}
        found.update(fresh)
        functions = [value for scope in fresh.values() for value in scope.values()]
    return list(found.values())


def warning_methods(model: nn.Module) -> set[tuple[type, str]]:
    """Return the methods of a model's classes that look at tensors only to warn: class, name."""
    kinds = {base for module in model.modules() for base in type(module).__mro__}
    return {(kind, name) for kind in kinds for name in _WARNINGS if name in vars(kind)}


def _unwrapped(function: FunctionType) -> FunctionType:
    inner = inspect.unwrap(function)
    return inner if isinstance(inner, FunctionType) else function


def _is_of_the_model(value: FunctionType) -> bool:
    library = str(value.__globals__.get("__name__", "")).partition(".")[0]
    return library not in _LIBRARIES


def _is_scripted(value: Any) -> bool:
    return isinstance(value, torch.jit.ScriptFunction)


def _is_opaque(value: FunctionType) -> bool:
    return value.__module__ in _MODULES or bool(getattr(value, _MARK, False))


_CONTAINERS = (
    nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.TransformerEncoder, nn.TransformerDecoder,
    nn.Transformer,
)  # fmt: skip


def is_atomic(module: nn.Module) -> bool:
    """Whether a module is never looked into: torch's own, scripted and compiled ones."""
    if isinstance(module, torch.jit.ScriptModule) or hasattr(module, "_orig_mod"):
        return True
    if module._compiled_call_impl is not None:
        return True
    return type(module).__module__.startswith("torch.nn.") and not isinstance(module, _CONTAINERS)

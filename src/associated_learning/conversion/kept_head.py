"""A model's own head as the bridge of its layers: so a pretrained model answers as before."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from associated_learning.conversion.plan import Plan
from associated_learning.targets import Target

__all__ = ["head_bridges"]


def head_bridges(model: nn.Module, plan: Plan, target: Target) -> list[nn.Module | None]:
    """Return copies of the model's own head as the bridges of layers that they fit.

    In lower layers a copy of the model's final norm stands before it, if it has one.

    Args:
        model: The model.
        plan: How it is cut.
        target: What y is; it has positions.

    Returns:
        For each layer a bridge, or None where another one must be made.
    """
    count, widths = len(plan.layers), [layer.width for layer in plan.layers]
    if plan.head is None or any(layer.resize is not None for layer in plan.layers):
        return [None] * count
    head = model.get_submodule(plan.head)
    if not gives(head, widths[-1], target.size):
        return [None] * count
    norm = _final_norm(model, plan)
    lower = [head] if norm is None else [norm, head]
    found = [_copied(lower) if width == widths[-1] else None for width in widths[:-1]]
    return [*found, _copied([head])]


def gives(head: nn.Module, width: int, size: int) -> bool:
    """Return whether a module makes ``[B, T, size]`` of ``[B, T, width]``."""
    parameter = next(head.parameters())
    like = torch.zeros(2, 1, width, device=parameter.device, dtype=parameter.dtype)
    try:
        with torch.no_grad():
            output = head(like)
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError):
        return False
    return isinstance(output, Tensor) and output.shape == (2, 1, size)


def _copied(modules: Sequence[nn.Module]) -> nn.Module:
    copies = [copy.deepcopy(module) for module in modules]
    return copies[0] if len(copies) == 1 else nn.Sequential(*copies)


def _final_norm(model: nn.Module, plan: Plan) -> nn.Module | None:
    """Return the norm that the last layer ends with, which no block below it ends with."""
    last = model.get_submodule(plan.layers[-1].modules[-1])
    return last if "norm" in type(last).__name__.lower() else None

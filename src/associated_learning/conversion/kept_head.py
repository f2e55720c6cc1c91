"""A model's own head as the bridge of its layers: so a pretrained model answers as before."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from associated_learning.conversion.plan import Plan
from associated_learning.targets import Target

__all__ = ["NormedHead", "head_bridges", "is_norm"]


class NormedHead(nn.Module):
    """A model's final norm and its head: the bridge of a layer below the last.

    Args:
        norm: From ``[B, T, W]`` to the same.
        head: From ``[B, T, W]`` to ``[B, T, size]``.
    """

    def __init__(self, norm: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.norm = norm
        self.head = head

    def forward(self, s: Tensor) -> Tensor:
        """Return ``[B, T, size]``."""
        output: Tensor = self.head(self.norm(s))
        return output


def head_bridges(model: nn.Module, plan: Plan, target: Target) -> list[nn.Module | None]:
    """Return copies of the model's own head as the bridges of layers that they fit.

    In lower layers a copy of the model's final norm stands before it, if it has one.

    Returns:
        For each layer a bridge, or None where another one must be made.
    """
    count, widths = len(plan.layers), [layer.width for layer in plan.layers]
    if plan.head is None or any(layer.resize is not None for layer in plan.layers):
        return [None] * count
    head = model.get_submodule(plan.head)
    if not gives(head, widths[-1], target.size):
        return [None] * count
    last = model.get_submodule(plan.layers[-1].modules[-1])
    lower = NormedHead(last, head) if is_norm(last) else head
    found = [copy.deepcopy(lower) if width == widths[-1] else None for width in widths[:-1]]
    return [*found, copy.deepcopy(head)]


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


def is_norm(module: nn.Module) -> bool:
    """Return whether a module is a norm, by the name of its class."""
    return "norm" in type(module).__name__.lower()

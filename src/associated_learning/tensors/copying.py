"""Copies of models, also of those that keep what they computed of their parameters."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor, nn

__all__ = ["copied"]

T = TypeVar("T")


def copied(structure: T, twins: Mapping[int, Tensor] | None = None) -> T:
    """Copy a model, also one whose modules keep what they computed of their parameters.

    The old ``torch.nn.utils.weight_norm``, and ``prune``, leave such tensors, which deepcopy
    refuses; they are computed anew in every forward.

    Args:
        structure: A model, or anything else that can be copied.
        twins: What stands in the copy for some of its tensors, by their id.
    """
    modules = structure.modules() if isinstance(structure, nn.Module) else ()
    kept = (value for module in modules for value in vars(module).values())
    computed = [v for v in kept if isinstance(v, Tensor) and not v.is_leaf]
    fresh = {id(tensor): tensor.detach().clone() for tensor in computed}
    return copy.deepcopy(structure, {**fresh, **(twins or {})})

"""Copies of models, also of those that keep what they computed of their parameters."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import Tensor, nn

__all__ = ["copied"]

M = TypeVar("M", bound=nn.Module)


def copied(model: M) -> M:
    """Copy a model, also one whose modules keep what they computed of their parameters.

    The old ``torch.nn.utils.weight_norm`` leaves such tensors, which deepcopy refuses; they are
    computed anew in every forward.
    """
    kept = (value for module in model.modules() for value in vars(module).values())
    computed = [v for v in kept if isinstance(v, Tensor) and not v.is_leaf]
    return copy.deepcopy(model, {id(tensor): tensor.detach().clone() for tensor in computed})

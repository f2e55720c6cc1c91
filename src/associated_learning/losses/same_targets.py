"""Which samples of a batch have the same target."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["same_targets"]


def same_targets(t: Tensor, dtype: torch.dtype) -> Tensor:
    """Return which targets ``[B, D]``, compared in a dtype, are of the same label, ``[B, B]``.

    Kernels treat the rows of a batch in groups, so that those of one label may differ in their last
    bits; no exact comparison would find them.
    """
    exact = t.detach().to(dtype)
    rounding = torch.finfo(t.dtype).eps ** (2 / 3) * exact.abs().max()
    same: Tensor = torch.cdist(exact, exact, p=float("inf")) <= rounding
    return same

"""Where a module computes."""

from __future__ import annotations

import itertools

import torch
from torch import nn

__all__ = ["device_of"]


def device_of(module: nn.Module) -> torch.device:
    """Return the device of a module's first parameter or buffer; CPU if it has none."""
    first = next(itertools.chain(module.parameters(), module.buffers()), None)
    return torch.device("cpu") if first is None else first.device

"""What whoever runs a network makes of each output, once it is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from torch import Tensor

__all__ = ["OutputReader", "as_it_is"]

# takes the number of the batch, from 0, the depth, from 1, and the output [B, *P, target.size]
OutputReader: TypeAlias = Callable[[int, int, Tensor], Any]


def as_it_is(number: int, depth: int, output: Tensor) -> Tensor:
    """Return an output: an `OutputReader` that makes nothing else of it."""
    return output

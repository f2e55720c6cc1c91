"""Steps that say first which library multiplies float32 matrices; see `use_fast_products`."""

from __future__ import annotations

from collections.abc import Callable

import torch

__all__ = ["MKL", "ONEDNN", "multiplying"]

MKL, ONEDNN = "highest", "medium"  # what torch calls the two, where products stay in float32


def multiplying(library: str, step: Callable[[], object]) -> Callable[[], object]:
    """Return a step that is made with a library, whatever the one before it had."""

    def run() -> object:
        torch.set_float32_matmul_precision(library)
        return step()

    return run

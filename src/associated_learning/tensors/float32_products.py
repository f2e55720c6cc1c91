"""Float32 matrix products on processors of AMD, where torch takes the slower of its two libraries.

torch multiplies float32 matrices by MKL, which leaves out the widest instructions of processors
that are not Intel's; oneDNN, which torch has too, uses them. It is asked by
``torch.set_float32_matmul_precision("medium")``. That also allows bfloat16, where a processor has
instructions for whole products in it (AMX); so it is kept only where products come out exact.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

__all__ = ["use_fast_products"]

_ASKED = "medium"
_SIZES = ((64, 512, 512), (3, 70, 40), (1, 300, 1200))  # rows, inner, columns: kernels differ
_MOST = 2047  # more digits than bfloat16 has; 512 of them add up to a number float32 holds


def use_fast_products() -> bool:
    """Let oneDNN multiply float32 matrices in this process, where that is faster and as exact.

    On an AMD EPYC with AVX-512, training steps take 0.56 to 0.65 of the time
    (`benchmarks/products`). Nothing changes on processors of other makers, where there is a GPU,
    where the precision of products was set before, or where a product is not exact. All processes
    of a machine decide alike.

    Returns:
        Whether oneDNN multiplies now.
    """
    if not _is_amd() or torch.cuda.is_available():
        return False
    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:  # set by another interface
        return False
    if before != "highest":
        return before == _ASKED
    torch.set_float32_matmul_precision(_ASKED)
    if all(_is_exact(*sizes) for sizes in _SIZES):
        return True
    torch.set_float32_matmul_precision(before)
    return False


def _is_amd() -> bool:
    try:
        return "AuthenticAMD" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


def _is_exact(rows: int, inner: int, columns: int) -> bool:
    """Return whether a product of whole numbers that float32 holds is what int64 says."""
    left = torch.arange(rows * inner).view(rows, inner) * 7919 % (2 * _MOST + 1) - _MOST
    right = torch.arange(inner * columns).view(inner, columns) % 3 - 1
    return torch.equal(_product(left.float(), right.float()), (left @ right).float())


def _product(left: Tensor, right: Tensor) -> Tensor:
    return left @ right

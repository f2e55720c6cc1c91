"""Sparse tables, as of counted words, written out for a network."""

from __future__ import annotations

from typing import Any

import numpy as np

from associated_learning.errors import InputError

__all__ = ["dense_rows"]

_MOST_CELLS = 2**28  # 2 GiB


def dense_rows(table: Any) -> np.ndarray[Any, Any]:
    """Return a table ``[N, F]`` with all its zeros: standardised, hardly one of them stays zero.

    Args:
        table: An array, or a sparse matrix or array of SciPy.

    Raises:
        InputError: It is sparse and too large for that.
    """
    if not hasattr(table, "toarray"):  # as all sparse ones have it
        return np.asarray(table)
    rows, columns = table.shape
    if rows * columns > _MOST_CELLS:
        raise InputError(
            f"a sparse table of {rows:,} x {columns:,} came, which is written out to be "
            f"standardised; expected {_MOST_CELLS:,} cells at most. Keep fewer columns, as by "
            "TfidfVectorizer(max_features=5000), or put a TruncatedSVD before it."
        )
    return np.asarray(table.toarray())

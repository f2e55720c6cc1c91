"""Rows of numbers to standardised features."""

from typing import Any

import numpy as np


def prepare(rows: list[Any], how: dict[str, Any]) -> dict[str, Any]:
    """Return features ``[N, F]`` of rows: numbers in order, by name, or such as "1.5,2"."""
    rows = [row.split(",") if isinstance(row, str) else row for row in rows]
    rows = [[row[c] for c in how["columns"]] if isinstance(row, dict) else row for row in rows]
    x = np.array(rows, np.float64)
    if x.shape[1:] != (len(how["columns"]),) or not np.isfinite(x).all():
        raise ValueError(f"expected rows of finite numbers, one for each of {how['columns']}")
    return {"x": ((x - how["mean"]) / how["std"]).astype(np.float32)}

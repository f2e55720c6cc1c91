"""Rows of a table to standardised features."""

from typing import Any

import numpy as np


def prepare(rows: list[Any], how: dict[str, Any]) -> dict[str, Any]:
    """Return features ``[N, F]`` of rows: values in order, by name, or such as "1.5,2"."""
    rows = [row.split(",") if isinstance(row, str) else row for row in rows]
    rows = [[row[c] for c in how["columns"]] if isinstance(row, dict) else row for row in rows]
    kinds = how.get("encodings", [{} for _ in how["columns"]])
    x = [[f for part in map(_features, row, kinds) for f in part] for row in rows]
    if {len(row) for row in rows} != {len(kinds)} or not np.isfinite(x).all():
        raise ValueError(f"expected rows of finite numbers, one for each of {how['columns']}")
    return {"x": ((np.array(x) - how["mean"]) / how["std"]).astype(np.float32)}


def _features(value: Any, kind: dict[str, Any]) -> list[float]:
    missing = value is None or value != value or not str(value).strip()
    if "categories" in kind:
        return [float(not missing and str(value).strip() == name) for name in kind["categories"]]
    number = kind["fill"] if missing and "fill" in kind else float(value)
    return [number, float(missing)] if "fill" in kind else [number]

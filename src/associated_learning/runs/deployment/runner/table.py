"""Labels rows such as 1.5,2 (or FILE.csv with a header, or a pipe of either) without PyTorch."""

import csv
from typing import Any

import numpy as np


def given(asked: list[str], how: dict[str, Any]) -> list[Any]:
    """Return rows by column, of lines that begin with a header or are in the order of training."""
    file = asked[0].endswith(".csv") and open(asked[0], encoding="utf-8-sig", newline="")  # noqa: PTH123, SIM115
    header, *rows = filter(None, csv.reader(file or asked))
    if not {*how["columns"]} <= {*header}:
        header, rows = how["columns"], [header, *rows]
    if wrong := [row for row in rows if len(row) != len(header)]:
        raise ValueError(f"{wrong[0]} came, expected were {len(header)} values: {header}")
    return [[dict(zip(header, row, strict=True))] for row in rows]


def prepare(rows: list[Any], how: dict[str, Any]) -> tuple[dict[str, Any], list[str | None]]:
    """Return features ``[N, F]`` of rows by column; and notes: an unknown category is told."""
    kinds = how.get("encodings") or [{} for _ in how["columns"]]
    x, notes = [list[Any]() for _ in rows], [list[str]() for _ in rows]
    for row, features, unknown in zip(rows, x, notes, strict=True):
        for name, kind in zip(how["columns"], kinds, strict=True):
            text = "" if row[name] is None else str(row[name]).strip()
            known = kind.get("categories", ())
            text = text.capitalize() if known and {*known} <= {"False", "True"} else text
            features += [text == one for one in known] or [float(text or kind.get("fill", "none"))]
            features += [not text] * ("fill" in kind)
            unknown += [f"unknown {name} {text!r}"] * bool(known and text not in ("", *known))
    scaled = (np.asarray_chkfinite(x, np.float64) - how["mean"]) / how["std"]
    return {"x": np.float32(scaled)}, ["; ".join(unknown) or None for unknown in notes]

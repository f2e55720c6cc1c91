"""Labels rows such as 1.5,2 (or FILE.csv with a header, or a pipe of either) without PyTorch."""

import csv
from typing import Any

import numpy as np


def given(asked: list[str], how: dict[str, Any]) -> list[Any]:
    """Return rows by column, of lines that begin with a header or are in the order of training."""
    lines = [*open(asked[0], encoding="utf-8-sig")] if asked[0][-4:] in (".csv", ".tsv") else asked  # noqa: PTH123, SIM115
    how["mark"] = max(",;\t|", key=lines[0].count) if how["columns"][0] in lines[0] else ","
    rows = [*csv.reader(lines, delimiter=how["mark"], skipinitialspace=True)]
    header = rows.pop(0) if {*how["columns"]} <= {*rows[0]} else how["columns"]
    if wrong := [row for row in rows if any(row) and len(row) != len(header)]:
        raise ValueError(f"{wrong[0]} came, expected were {len(header)} values: {header}")
    return [[dict(zip(header, row, strict=any(row)))] for row in rows]


def prepare(rows: list[Any], how: dict[str, Any]) -> tuple[dict[str, Any], list[str | None]]:
    """Return features ``[N, F]`` of rows by column; and notes: blank rows, unknown categories."""
    x, notes = [list[Any]() for _ in rows], [list[str]() for _ in rows]
    for row, features, unknown in zip(rows, x, notes, strict=True):
        blank = {*map(row.get, how["columns"])} <= {None, ""}
        features[:], unknown[:] = how["mean"] * blank, ["empty"] * blank
        for key, kind in [] if blank else zip(how["columns"], how["encodings"], strict=True):
            text = "" if row[key] is None else str(row[key]).strip()
            known, bare = kind.get("categories", ()), text.strip("%$€£¥ ")
            text = text.capitalize() if known and {*known} <= {"False", "True"} else text
            unknown += [f"unknown {key} {text!r}"] * bool(known and text not in ("", *known))
            comma = "." if how.get("mark") == ";" else "" if bare[-4:-3] == "," else ","
            gap = bare.lower() in how.get("missing", [""])
            number = kind.get("fill") if gap else bare.replace(",", comma)
            features += [text == c for c in known] or [number, gap][: len(kind) + 1]
    scaled = (np.asarray_chkfinite(x, np.float64) - how["mean"]) / how["std"]
    return {"x": np.float32(scaled)}, ["; ".join(unknown) or None for unknown in notes]

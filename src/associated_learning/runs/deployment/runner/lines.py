"""Texts, a line each, or those of a file by column."""

import csv
import json
from typing import Any


def given(asked: list[str], how: dict[str, Any]) -> list[Any]:
    """Return the texts of a command line, a pipe, or a file by column, in minibatches."""
    texts = [text.rstrip("\r\n") for text in asked]
    if asked[0].endswith((".csv", ".tsv", ".jsonl")):
        lines = [*open(asked[0], encoding="utf-8-sig", newline="")]  # noqa: PTH123, SIM115
        if asked[0].endswith(".jsonl"):
            listed = [json.loads(line) if line.strip() else {} for line in lines]
        else:
            header, *rows = csv.reader(lines, delimiter=max(",;\t|", key=lines[0].count))
            listed = [dict(zip(map(str.strip, header), row, strict=bool(row))) for row in rows]
        texts = [" ".join(row[name] or "" for name in how["columns"] if row) for row in listed]
    return [texts[i : i + 64] for i in range(0, len(texts), 64)]

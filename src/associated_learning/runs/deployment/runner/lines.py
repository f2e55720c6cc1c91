"""Texts, a line each, or those of a file by column."""

import csv
import json
from typing import Any


def given(asked: list[str], how: dict[str, Any]) -> list[Any]:
    """Return the texts of a command line, a pipe, or a file by column, in minibatches."""
    texts = [text.rstrip("\r\n") for text in asked]
    if asked[0].endswith((".csv", ".tsv", ".jsonl")):
        lines = [*open(asked[0], encoding="utf-8-sig", newline="")]  # noqa: PTH123, SIM115
        rows = csv.DictReader(lines, delimiter=max(",;\t|", key=lines[0].count))
        listed = map(json.loads, lines) if asked[0].endswith(".jsonl") else rows
        texts = [" ".join(row[name] or "" for name in how["columns"]) for row in listed]
    return [texts[i : i + 64] for i in range(0, len(texts), 64)]

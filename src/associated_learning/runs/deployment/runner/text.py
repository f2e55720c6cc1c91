"""Labels texts, FILE.csv, .tsv or .jsonl by the column of training, or a pipe, without PyTorch."""

import html
import re
from typing import Any

import numpy as np


def prepare(texts: list[str], how: dict[str, Any]) -> tuple[dict[str, Any], list[str | None]]:
    """Return ids ``[N, T]`` and lengths; and notes: on texts that are blank or all unknown."""
    number = {word: i for i, word in enumerate(how["words"], how["first_id"])}
    ids = []
    for text in map(str.lower, texts):
        plain = html.unescape(re.sub(how["entity"], r"&\1;", text)).lower() if ";" in text else text
        parts = [re.sub(how["tag"], " ", part) for part in re.split(how["comment"], plain)]
        words = [w for w in re.findall(how["word"], " ".join(parts)) if w not in how["stop_words"]]
        ids.append([number.get(w, how["unknown"]) for w in words[: how["max_length"]] or [""]])
    lengths = np.array([len(row) for row in ids], np.int64)
    padded = [row + [how["padding"]] * (max(lengths) - len(row)) for row in ids]
    notes = [None if {*row} - {how["unknown"]} else "no known word" for row in ids]
    notes = [note if text.strip() else "empty" for text, note in zip(texts, notes, strict=True)]
    return {"values": np.array(padded, np.int64), "lengths": lengths}, notes

"""Labels texts by the ONNX file beside this one, without PyTorch: give texts, or a pipe of them."""

import html
import re
from typing import Any

import numpy as np


def prepare(texts: list[str], how: dict[str, Any]) -> tuple[dict[str, Any], list[str | None]]:
    """Return ids ``[N, T]`` and lengths; and notes: a text without a known word is told."""
    number = {word: i for i, word in enumerate(how["words"], how["first_id"])}
    ids = []
    for text in texts:
        text = text.lower()
        if ";" in text:
            text = html.unescape(re.sub(how["entity"], r"&\1;", text)).lower()
        parts = [re.sub(how["tag"], " ", part) for part in re.split(how["comment"], text)]
        words = re.findall(how["word"], " ".join(parts))
        kept = [word for word in words if word not in how["stop_words"]][: how["max_length"]]
        ids.append([number.get(word, how["unknown"]) for word in kept] or [how["unknown"]])
    lengths = np.array([len(row) for row in ids], np.int64)
    padded = [row + [how["padding"]] * (max(lengths) - len(row)) for row in ids]
    notes = ["no known word" if {*row} == {how["unknown"]} else None for row in ids]
    return {"values": np.array(padded, np.int64), "lengths": lengths}, notes

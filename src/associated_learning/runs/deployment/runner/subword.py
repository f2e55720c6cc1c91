"""Labels texts, FILE.csv, .tsv or .jsonl by the column of training, or a pipe, without PyTorch."""

import json
from typing import Any

import numpy as np
from tokenizers import Tokenizer


def prepare(texts: list[str], how: dict[str, Any]) -> tuple[dict[str, Any], list[str | None]]:
    """Return ids ``[N, T]`` and lengths; and notes: on texts that are blank or all unknown."""
    own = Tokenizer.from_str(json.dumps(how["tokenizer"]))
    found = own.encode_batch(texts)
    ids = [one.ids or [how["unknown"]] for one in found]
    new = [zip(one.ids, one.special_tokens_mask, strict=True) for one in found]
    known = [any(i != how["unknown"] and not added for i, added in row) for row in new]
    notes = [None if one else "no known word" for one in known]
    notes = [note if text.strip() else "empty" for text, note in zip(texts, notes, strict=True)]
    lengths = np.array([len(row) for row in ids], np.int64)
    padded = [row + [how["padding"]] * (max(lengths) - len(row)) for row in ids]
    return {"values": np.array(padded, np.int64), "lengths": lengths}, notes

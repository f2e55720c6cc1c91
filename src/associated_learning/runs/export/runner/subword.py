"""Texts to padded token ids, by the tokenizer of a pretrained model."""

import json
from typing import Any

import numpy as np
from tokenizers import Tokenizer


def prepare(texts: list[str], how: dict[str, Any]) -> dict[str, Any]:
    """Return ids ``[N, T]`` and lengths; a text without any token is one unknown token."""
    own = Tokenizer.from_str(json.dumps(how["tokenizer"]))
    ids = [encoding.ids or [how["unknown"]] for encoding in own.encode_batch(texts)]
    lengths = np.array([len(row) for row in ids], np.int64)
    padded = [row + [how["padding"]] * (max(lengths) - len(row)) for row in ids]
    return {"values": np.array(padded, np.int64), "lengths": lengths}

"""Outputs to classes."""

from typing import Any

import numpy as np


def read(output: Any, how: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Return the likeliest classes, and the probabilities of all."""
    x, names = output / np.float32(how["temperature"]), how["label_names"]
    x = np.exp(x - x.max(1, keepdims=True)) if how["output"] == "logits" else x.clip(1e-6)
    shares = [dict(zip(names, row, strict=True)) for row in (x / x.sum(1)[:, None]).tolist()]
    labels = [names[i] for i in output.argmax(1)]
    return labels, shares

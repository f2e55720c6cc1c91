"""Outputs to several labels each."""

from typing import Any

import numpy as np


def read(output: Any, how: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Return the labels that hold, and the probabilities of all."""
    x, names = output / np.float32(how["temperature"]), how["label_names"]
    shares = [dict(zip(names, row, strict=True)) for row in np.exp(-np.logaddexp(0, -x)).tolist()]
    labels = [[names[i] for i in np.flatnonzero(row > 0)] for row in output]
    return labels, shares

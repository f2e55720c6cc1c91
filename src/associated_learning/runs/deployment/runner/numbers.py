"""Outputs to numbers."""

from typing import Any


def read(output: Any, how: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Return numbers in the units of the training targets."""
    labels = (output[:, 0] * how["target_std"] + how["target_mean"]).tolist()
    shares = [None] * len(labels)
    return labels, shares

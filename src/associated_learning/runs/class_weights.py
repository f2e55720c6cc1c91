"""Class weights: how much a sample of each class counts in the loss of a run."""

from __future__ import annotations

from torch import Tensor

from associated_learning.errors import InputError

__all__ = ["balanced_weights"]


def balanced_weights(labels: Tensor, num_classes: int) -> tuple[float, ...]:
    """Return n / (k * count) of every class, so that all classes count the same together.

    Args:
        labels: Of the training split, ``[N]``.
        num_classes: k.

    Raises:
        InputError: A class has no training sample, and so no such weight.

    Example:
        >>> import torch
        >>> balanced_weights(torch.tensor([0, 0, 0, 1]), 2)
        (0.6666666666666666, 2.0)
    """
    counts = labels.bincount(minlength=num_classes).tolist()
    if 0 in counts:
        raise InputError(
            f"--class-weight balanced came, but class {counts.index(0)} (from 0) has no training "
            "sample; leave it out, or take more training data."
        )
    return tuple(len(labels) / (num_classes * count) for count in counts)

"""Class weights: how much a sample of each class counts in the loss of a run."""

from __future__ import annotations

from torch import Tensor

from associated_learning.errors import InputError

__all__ = ["balanced_weights"]


def balanced_weights(counts: Tensor) -> tuple[float, ...]:
    """Return n / (k * count) of every class, so that all classes count the same together.

    Args:
        counts: How many training samples, or pixels, each of the k classes has, ``[k]``; n is
            their sum.

    Raises:
        InputError: A class has no training sample, and so no such weight.

    Example:
        >>> import torch
        >>> balanced_weights(torch.tensor([3, 1]))
        (0.6666666666666666, 2.0)
    """
    total, listed = int(counts.sum()), counts.tolist()
    if 0 in listed:
        raise InputError(
            f"--class-weight balanced came, but class {listed.index(0)} (from 0) has no training "
            "sample; leave it out, or take more training data."
        )
    return tuple(total / (len(listed) * count) for count in listed)

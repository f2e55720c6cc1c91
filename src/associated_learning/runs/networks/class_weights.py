"""Class weights: how much a sample of each class counts in the loss of a run."""

from __future__ import annotations

from torch import Tensor

from associated_learning.errors import InputError

__all__ = ["balanced_weights", "weights_by_counts"]


def balanced_weights(labels: Tensor, num_classes: int) -> tuple[float, ...]:
    """Return n / (k * count) of every class, so that all classes count the same together.

    Of several labels a sample it is the ratio of samples without one to those with it.

    Args:
        labels: Of the training split, ``[N]``, or ``[N, k]`` of 0 and 1.
        num_classes: k.

    Raises:
        InputError: A class has no training sample, or all of a label, and so no such weight.

    Example:
        >>> import torch
        >>> balanced_weights(torch.tensor([0, 0, 0, 1]), 2)
        (0.6666666666666666, 2.0)
    """
    if labels.dim() > 1:
        return _of_labels(labels)
    return weights_by_counts(labels.bincount(minlength=num_classes))


def weights_by_counts(counts: Tensor) -> tuple[float, ...]:
    """Return n / (k * count) of every class from how often each occurs, ``[k]``.

    Raises:
        InputError: One does not.

    Example:
        >>> import torch
        >>> weights_by_counts(torch.tensor([3, 1]))
        (0.6666666666666666, 2.0)
    """
    total, listed = int(counts.sum()), counts.tolist()
    if 0 in listed:
        raise InputError(
            f"--class-weight balanced came, but class {listed.index(0)} (from 0) has no training "
            "sample; leave it out, or take more training data."
        )
    return tuple(total / (len(listed) * count) for count in listed)


def _of_labels(labels: Tensor) -> tuple[float, ...]:
    """Return of each label how many samples lack it for one that has it."""
    have = labels.sum(0).tolist()
    if 0 in have or len(labels) in have:
        at = next(i for i, count in enumerate(have) if count in (0, len(labels)))
        raise InputError(
            f"--class-weight balanced came, but label {at} (from 0) holds for "
            f"{'no' if have[at] == 0 else 'every'} training sample; leave it out, or take more "
            "training data."
        )
    return tuple((len(labels) - count) / count for count in have)

"""The order of an epoch: which sample stands in which batch, a pure function of its seed."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["bucketed_order", "drawn_by_weight", "shuffled_order"]


def shuffled_order(num_samples: int, rng: torch.Generator) -> Tensor:
    """Return a random order ``[N]`` of all samples."""
    return torch.randperm(num_samples, generator=rng)


def drawn_by_weight(weights: Tensor, rng: torch.Generator) -> Tensor:
    """Return as many samples as there are ``[N]``, each as often as its weight is of the mean.

    By systematic resampling: a weight of 2.3 times the mean is drawn twice or three times, on the
    mean over epochs 2.3 times. Equal weights draw every sample once.

    Args:
        weights: ``[N]``, 0 or more, not all 0.
        rng: Its first number decides.

    Example:
        >>> import torch
        >>> rng = torch.Generator().manual_seed(0)
        >>> drawn_by_weight(torch.tensor([1.0, 0.0, 3.0, 0.0]), rng).tolist()
        [0, 2, 2, 2]
    """
    ends = weights.double().cumsum(0)
    ends = ends / ends[-1] * len(weights)
    start = torch.rand((), generator=rng, dtype=torch.float64)
    passed = (ends - start + 1).floor().clamp(0, len(weights)).long()  # marks up to each end
    return torch.arange(len(weights)).repeat_interleave(passed.diff(prepend=passed.new_zeros(1)))


def bucketed_order(
    lengths: Tensor, batch_size: int, window: int, rng: torch.Generator, *, drop_last: bool
) -> list[Tensor]:
    """Return the batches of one epoch, each of samples of similar length.

    Samples are shuffled, sorted by length inside windows of ``window`` batches, cut into
    batches, and the batches are shuffled. Each batch thus pads little, and two epochs still
    differ in the company every sample keeps.

    Example:
        >>> import torch
        >>> rng = torch.Generator().manual_seed(0)
        >>> lengths = torch.tensor([9, 1, 9, 1])
        >>> batches = bucketed_order(lengths, 2, 8, rng, drop_last=False)
        >>> sorted(lengths[batch].tolist() for batch in batches)
        [[1, 1], [9, 9]]
    """
    order = shuffled_order(len(lengths), rng)
    if drop_last:  # before sorting: afterwards the longest texts would always be dropped
        order = order[: len(order) // batch_size * batch_size]
    windows = torch.arange(len(order)) // (batch_size * window)
    keys = windows * (int(lengths.max()) + 1) + lengths[order]
    batches = torch.split(order[keys.argsort(stable=True)], batch_size)
    return [batches[i] for i in shuffled_order(len(batches), rng).tolist()]

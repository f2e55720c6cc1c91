"""Seeded, stratified choices of samples: validation splits and smaller training sets."""

from __future__ import annotations

import torch
from torch import Tensor

from associated_learning.data.keys import generator
from associated_learning.errors import InputError

__all__ = ["cut", "limit"]


def cut(labels: Tensor, fraction: float, *, seed: int) -> tuple[Tensor, Tensor]:
    """Return the indices (kept, cut off): a share ``fraction`` of every class is cut off.

    Each class gives its rounded share, at least one sample of two or more, and keeps at
    least one. Both index tensors ascend.

    Raises:
        InputError: ``fraction`` is not between 0 and 1, or no sample could be cut off.

    Example:
        >>> import torch
        >>> kept, off = cut(torch.tensor([0] * 8 + [1] * 4), 0.25, seed=0)
        >>> len(kept), len(off), int((off < 8).sum())
        (9, 3, 2)
    """
    if not 0 < fraction < 1:
        raise InputError(f"fraction to cut off is {fraction}: expected between 0 and 1")
    counts = labels.bincount()
    shares = (counts * fraction).round().long().clamp(min=1)
    shares = torch.minimum(shares, (counts - 1).clamp(min=0))
    if int(shares.sum()) == 0:
        raise InputError(
            f"cannot cut a split off {len(labels)} samples, one a class: expected two or"
            " more samples of some class"
        )
    chosen = _chosen(labels, shares, seed)
    return (~chosen).nonzero().flatten(), chosen.nonzero().flatten()


def limit(labels: Tensor, size: int, *, seed: int) -> Tensor:
    """Return the ascending indices of ``size`` samples, the classes in proportion.

    Raises:
        InputError: ``size`` is below the number of classes present.

    Example:
        >>> import torch
        >>> labels = torch.tensor([0] * 8 + [1] * 4)
        >>> labels[limit(labels, 6, seed=0)].bincount().tolist()
        [4, 2]
    """
    counts = labels.bincount()
    if size < int((counts > 0).sum()):
        raise InputError(
            f"a limit of {size} training samples does not reach one sample for each of the"
            f" {int((counts > 0).sum())} classes: take a larger limit"
        )
    if size >= len(labels):
        return torch.arange(len(labels))
    return _chosen(labels, _proportional(counts, size), seed).nonzero().flatten()


def _proportional(counts: Tensor, size: int) -> Tensor:
    """Return whole shares of ``counts`` that sum to ``size`` (largest remainders)."""
    present = (counts > 0).long()
    exact = (counts - present) * (size - int(present.sum())) / max(1, int((counts - present).sum()))
    shares = exact.floor().long()
    missing = size - int(present.sum()) - int(shares.sum())
    shares[(exact - shares).argsort(descending=True, stable=True)[:missing]] += 1
    return shares + present


def _chosen(labels: Tensor, shares: Tensor, seed: int) -> Tensor:
    """Return booleans ``[N]``: a random ``shares[c]`` samples of every class ``c``."""
    order = torch.randperm(len(labels), generator=generator(seed))
    by_class = order[labels[order].argsort(stable=True)]
    counts = labels.bincount(minlength=len(shares))
    starts = (counts.cumsum(0) - counts).repeat_interleave(counts)
    rank = torch.arange(len(labels)) - starts
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    chosen[by_class[rank < shares[labels[by_class]]]] = True
    return chosen

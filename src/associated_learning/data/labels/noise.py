"""Label noise at a rate: the experiment of paper section 3.4, Table 5."""

from __future__ import annotations

import torch
from torch import Tensor

from associated_learning.data.keys import generator
from associated_learning.errors import InputError

__all__ = ["noisy_labels"]


def noisy_labels(labels: Tensor, *, num_classes: int, rate: float, seed: int = 0) -> Tensor:
    """Return labels ``[N]`` of which a share ``rate`` was drawn anew.

    Exactly ``round(rate * N)`` samples are chosen, and each gets a label drawn uniformly from
    *all* classes: "we took θ proportion of data, in which we changed the labels randomly"
    (section 3.4). A share ``1 / num_classes`` of them thus keeps its label by chance, and at
    rate 1 the labels tell nothing. Only training labels are meant to be given here.

    Raises:
        InputError: ``rate`` is not between 0 and 1.

    Example:
        >>> import torch
        >>> clean = torch.zeros(8, dtype=torch.int64)
        >>> noisy = noisy_labels(clean, num_classes=10, rate=0.5, seed=1)
        >>> int((noisy != clean).sum()) <= 4, torch.equal(clean, torch.zeros_like(clean))
        (True, True)
    """
    if not 0 <= rate <= 1:
        raise InputError(f"label noise rate is {rate}: expected a share between 0 and 1")
    rng = generator(seed)
    chosen = torch.randperm(len(labels), generator=rng)[: round(rate * len(labels))]
    noisy = labels.clone()
    noisy[chosen] = torch.randint(num_classes, (len(chosen),), generator=rng)
    return noisy

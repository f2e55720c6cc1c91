"""Statistics of a comparison: mean and spread over seeds, paired bootstrap, Holm's correction."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Bootstrap", "Spread", "cohens_h", "holm", "paired_bootstrap", "spread"]

Answers = npt.NDArray[np.bool_]


class Spread(NamedTuple):
    """Mean and spread of a figure over runs.

    Attributes:
        mean: The mean.
        sd: Standard deviation of the runs (n - 1); None of a single run.
        n: Number of runs.
    """

    mean: float
    sd: float | None
    n: int


def spread(values: Sequence[float]) -> Spread:
    """Return mean and spread.

    Example:
        >>> spread([1.0, 3.0])
        Spread(mean=2.0, sd=1.4142135623730951, n=2)
    """
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Spread(statistics.fmean(values), deviation, len(values))


class Bootstrap(NamedTuple):
    """What resampling says of a difference of two accuracies.

    Attributes:
        difference: The difference itself, as a share.
        low: Lower end of its 95 % interval.
        high: Upper end.
        p: Two-sided p-value of no difference.
    """

    difference: float
    low: float
    high: float
    p: float


def paired_bootstrap(
    ours: Answers, theirs: Answers, *, resamples: int = 10_000, seed: int = 0
) -> Bootstrap:
    """Compare two methods on the same test samples by runs of the same seeds.

    Both are resampled in pairs: the seeds, and the test samples. Samples that all runs answered
    alike are counted, not drawn one by one, which gives the same distribution.

    Args:
        ours: Which samples each run got right, ``[S, N]``.
        theirs: The same of the other method.
        resamples: How often to draw.
        seed: Keys the draws.

    Example:
        >>> import numpy as np
        >>> ours, theirs = np.ones((2, 50), bool), np.zeros((2, 50), bool)
        >>> paired_bootstrap(ours, theirs).difference
        1.0
    """
    change = ours.astype(np.int8) - theirs.astype(np.int8)  # [S, N]
    seeds, count = change.shape
    patterns, times = np.unique(change, axis=1, return_counts=True)  # [S, P], [P]
    rng = np.random.default_rng(seed)
    samples = rng.multinomial(count, times / count, size=resamples)  # [R, P]
    weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples)  # [R, S]
    drawn = np.einsum("rs,sp,rp->r", weights, patterns, samples) / (seeds * count)
    low, high = np.quantile(drawn, [0.025, 0.975])
    tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
    p = min(2 * (tail + 1) / (resamples + 1), 1.0)
    return Bootstrap(float(change.mean()), float(low), float(high), float(p))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number (Holm, 1979), in the order they came.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min((len(p_values) - rank) * p_values[i], 1.0))
        corrected[i] = largest
    return corrected


def cohens_h(ours: float, theirs: float) -> float:
    """Return the effect size of a difference of two shares (Cohen, 1988): 0.2 is small.

    Example:
        >>> round(cohens_h(0.9, 0.8), 3)
        0.284
    """
    return 2 * math.asin(math.sqrt(ours)) - 2 * math.asin(math.sqrt(theirs))

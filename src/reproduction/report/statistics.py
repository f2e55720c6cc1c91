"""Statistics of a comparison: mean and spread over seeds, Welch's test, bootstrap, Holm."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from associated_learning.errors import needs_extra

__all__ = [
    "Answers",
    "Interval",
    "Spread",
    "bootstrap",
    "cohens_h",
    "holm",
    "probability",
    "spread",
    "welch",
]

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

    def text(self, digits: int | None) -> str:
        """Return it as it is printed; digits None stands for powers of ten.

        Example:
            >>> Spread(2.0, 0.5, 3).text(1)
            '2.0 ± 0.5'
        """
        numbers = [self.mean] if self.sd is None else [self.mean, self.sd]
        form = ".2e" if digits is None else f".{digits}f"
        return " ± ".join(f"{number:{form}}" for number in numbers)


def spread(values: Sequence[float]) -> Spread:
    """Return mean and spread.

    Example:
        >>> spread([1.0, 3.0])
        Spread(mean=2.0, sd=1.4142135623730951, n=2)
    """
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Spread(statistics.fmean(values), deviation, len(values))


class Interval(NamedTuple):
    """What a test says of a difference of two means.

    Attributes:
        low: Lower end of its 95 % interval.
        high: Upper end.
        p: Two-sided p-value of no difference.
    """

    low: float
    high: float
    p: float


def welch(ours: Sequence[float], theirs: Sequence[float]) -> Interval | None:
    """Compare two means of independent runs whose spreads may differ (Welch, 1947).

    No run of one is paired with a run of the other, even where equal seeds share their samples.

    Returns:
        None where one has a single run, or where no two runs of either differ.

    Example:
        >>> found = welch([3.0, 3.2, 3.1], [2.0, 2.4, 2.2])
        >>> round(found.low, 2), round(found.high, 2), found.p < 0.01
        (0.48, 1.32, True)
    """
    if min(len(ours), len(theirs)) < 2 or len(set(ours)) == len(set(theirs)) == 1:
        return None
    with needs_extra("reproduction", "Welch's test"):
        from scipy.stats import ttest_ind

    found = ttest_ind(ours, theirs, equal_var=False)
    low, high = found.confidence_interval(0.95)
    return Interval(float(low), float(high), float(found.pvalue))


def bootstrap(ours: Answers, theirs: Answers, *, resamples: int = 4_000, seed: int = 0) -> Interval:
    """Compare two methods on the same test samples: what those samples leave open.

    Seeds are drawn for each method alone, samples for both at once. Samples that all runs answered
    alike are counted, not drawn one by one, which gives the same distribution.

    Args:
        ours: Which samples each run got right, ``[S, N]``.
        theirs: The same of the other method, ``[T, N]``.
        resamples: How often to draw.
        seed: Keys the draws.

    Example:
        >>> import numpy as np
        >>> ours, theirs = np.ones((2, 50), bool), np.zeros((3, 50), bool)
        >>> bootstrap(ours, theirs).low
        1.0
    """
    rng = np.random.default_rng(seed)
    accuracies = _accuracies(rng, np.concatenate([ours, theirs]), resamples)
    weights = np.concatenate(
        [_drawn(rng, len(ours), resamples), -_drawn(rng, len(theirs), resamples)], 1
    )
    drawn = (accuracies * weights).sum(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
    return Interval(float(low), float(high), float(min(2 * (tail + 1) / (resamples + 1), 1.0)))


def _accuracies(
    rng: np.random.Generator, answers: Answers, resamples: int
) -> npt.NDArray[np.float64]:
    """Return the accuracy of each run ``[S + T, N]`` on samples drawn anew: ``[R, S + T]``."""
    runs, count = answers.shape
    right = answers.all(0)
    mixed = answers.any(0) & ~right
    open_ones = answers[:, mixed].astype(np.float64)  # in which a product counts exactly, and fast
    shares = np.array([right.sum(), mixed.sum(), count - right.sum() - mixed.sum()]) / count
    found: npt.NDArray[np.float64] = np.empty((resamples, runs))
    for row, (sure, drawn, _) in zip(found, rng.multinomial(count, shares, resamples), strict=True):
        row[:] = sure
        if drawn:
            which = rng.integers(open_ones.shape[1], size=drawn)
            row += open_ones @ np.bincount(which, minlength=open_ones.shape[1])
    found /= count
    return found


def _drawn(rng: np.random.Generator, count: int, resamples: int) -> npt.NDArray[np.float64]:
    """Return weights of runs drawn with replacement, ``[R, count]``; each row sums to 1."""
    return rng.multinomial(count, np.full(count, 1 / count), size=resamples) / count


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


def probability(p: float) -> str:
    """Return a p-value as it is printed; none is printed as 0.

    Example:
        >>> probability(0.0213), probability(0.0004)
        ('0.021', '< 0.001')
    """
    return "< 0.001" if p < 1e-3 else f"{p:.3f}"


def cohens_h(ours: float, theirs: float) -> float:
    """Return the effect size of a difference of two shares (Cohen, 1988): 0.2 is small.

    Example:
        >>> round(cohens_h(0.9, 0.8), 3)
        0.284
    """
    return 2 * math.asin(math.sqrt(ours)) - 2 * math.asin(math.sqrt(theirs))

"""The learning rate of a contestant: the best of a grid on validation data, and inside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def best_rate(
    grid: Sequence[float], score: Callable[[float], float], *, more: int
) -> tuple[float, dict[float, float]]:
    """Return the rate with the best score, and the scores of all that were tried.

    While the best is the lowest or the highest, half or twice of it is tried too.

    Args:
        grid: Rates, as many for every contestant.
        score: Of a rate, on validation data.
        more: Number of rates beyond the grid at the most.
    """
    tried = {rate: score(rate) for rate in grid}
    for _ in range(more):
        best = max(tried, key=tried.__getitem__)
        if best not in (min(tried), max(tried)):
            break
        beyond = 2 * best if best == max(tried) else best / 2
        tried[beyond] = score(beyond)
    return max(tried, key=tried.__getitem__), tried

"""How long a campaign will take: by what its runs were expected to take, and did."""

from __future__ import annotations

import time

from reproduction.campaign.pool import Progress

__all__ = ["clock", "remaining_seconds"]


def remaining_seconds(progress: Progress, at_once: int) -> float:
    """Return the seconds until all jobs are done.

    Expected times are corrected by what the jobs that are done took against theirs.
    """
    now = time.monotonic()
    expected = sum(job.expected for job, _ in progress.done)
    factor = sum(seconds for _, seconds in progress.done) / expected if expected else 1.0
    waiting = sum(job.expected for job in progress.waiting) * factor
    running = [max(one.job.expected * factor - (now - one.begin), 0) for one in progress.running]
    return max((waiting + sum(running)) / at_once, *running, 0.0)


def clock(seconds: float) -> str:
    """Return a time for people.

    Example:
        >>> clock(42), clock(125), clock(7500)
        ('42 s', '2 min 05 s', '2 h 05 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"

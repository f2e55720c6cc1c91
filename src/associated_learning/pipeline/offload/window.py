"""Windows of minibatches: what a layer takes before the next layer begins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from associated_learning.pipeline.items import Items, Marker, Minibatch

__all__ = ["Window", "marked", "windows"]


class Window(NamedTuple):
    """Consecutive minibatches, and what ended them.

    Attributes:
        jobs: The minibatches.
        marker: The marker behind them; None where the window was full, or nothing follows.
        error: What failed when the next minibatch was made.
    """

    jobs: list[Minibatch]
    marker: Marker | None = None
    error: BaseException | None = None


def windows(items: Items, size: int) -> Iterator[Window]:
    """Gather items into windows of at most so many minibatches; a marker ends a window.

    So all layers stand at the marker's update when it is looked at.

    Args:
        items: They are drawn when a window is asked for, never ahead of it.
        size: Largest number of minibatches.

    Example:
        >>> import torch
        >>> jobs = [Minibatch(step, None, torch.zeros(1)) for step in range(5)]
        >>> items = (item for item in [*jobs, Marker(epoch_end=True)])
        >>> [(len(window.jobs), window.marker is not None) for window in windows(items, 3)]
        [(3, False), (2, True)]
    """
    jobs: list[Minibatch] = []
    try:
        for item in items:
            if isinstance(item, Minibatch):
                jobs.append(item)
                if len(jobs) == size:
                    yield Window(jobs)
                    jobs = []
            else:
                assert isinstance(item, Marker)
                yield Window(jobs, item)
                jobs = []
    except Exception as error:  # what came before it is trained and reported first
        yield Window(jobs, error=error)
        return
    if jobs:
        yield Window(jobs)


def marked(items: Items, size: int) -> Items:
    """Put a marker behind every so many minibatches, unless another one is there.

    What follows must be known for that, so that one item is drawn before it.

    Args:
        items: They are drawn when they are asked for. Where that fails, the marker comes first.
        size: Number of minibatches, from one marker to the next.

    Example:
        >>> import torch
        >>> jobs = [Minibatch(step, None, torch.zeros(1)) for step in range(5)]
        >>> items = iter([*jobs[:4], Marker(epoch_end=True), jobs[4]])
        >>> [type(item).__name__[:3] for item in marked(items, 2)]
        ['Min', 'Min', 'Mar', 'Min', 'Min', 'Mar', 'Min']
    """
    count, failure, left = 0, None, iter(items)
    while True:
        try:
            item = next(left, None)
        except BaseException as error:
            item, failure = None, error
        if count == size and not isinstance(item, Marker):
            yield Marker()
            count = 0
        if failure is not None:
            raise failure
        if item is None:
            return
        count = 0 if isinstance(item, Marker) else count + 1
        yield item

"""How long to train where nobody says so."""

from __future__ import annotations

import math
from typing import Any

from associated_learning.state.schedules import make_schedule

__all__ = ["enough_epochs", "patient_epochs", "updates_of", "warm_cosine"]

# what networks of a few layers take from fresh weights to a good answer (benchmarks/first_run)
EPOCHS, UPDATES = 20, 1000


def enough_epochs(batches: int, *, epochs: int = EPOCHS, updates: int = UPDATES) -> int:
    """Return how many epochs of so many batches to train: ``epochs``, or more for enough updates.

    Example:
        >>> enough_epochs(4), enough_epochs(500)
        (250, 20)
    """
    return max(epochs, math.ceil(updates / batches))


def patient_epochs(batches: int, *, epochs: int, updates: int) -> int:
    """Return how many epochs to wait for a better score, likewise; 0 waits for ever.

    Example:
        >>> patient_epochs(9, epochs=5, updates=250), patient_epochs(100, epochs=5, updates=250)
        (28, 5)
    """
    return enough_epochs(batches, epochs=epochs, updates=updates) if epochs else 0


def updates_of(batches: int, accumulation: int) -> int:
    """Return the number of updates of an epoch of so many batches, the last maybe of fewer.

    Example:
        >>> updates_of(10, 4)
        3
    """
    return -(-batches // accumulation)


def warm_cosine(epochs: int, batches: int) -> dict[str, Any]:
    """Return settings of a `Trainer`: a tenth of warm-up, then half a cosine down to 0."""
    schedule = make_schedule("cosine", steps=epochs * batches, warmup=0.1)
    return {"schedule": schedule, "schedule_every": "step"}

"""The record of a finished epoch: its losses, and what the network is worth on other data."""

from __future__ import annotations

import time
from collections.abc import Callable

from associated_learning.inference.evaluation import evaluate
from associated_learning.network import Network
from associated_learning.state.history import EpochRecord, TrainingState
from associated_learning.training.batch_stream import BatchSource

__all__ = ["epoch_record"]


def epoch_record(
    state: TrainingState,
    rates: list[float],
    network: Callable[[], Network],
    validation: BatchSource | None,
) -> EpochRecord:
    """Evaluate every depth of the network, and return the record of the epoch that has ended.

    Args:
        state: Where training stands, the epoch not yet counted.
        rates: The learning rate of each block in that epoch.
        network: Gives the network as it was at the epoch's end.
        validation: What to evaluate it on; None leaves the scores out.
    """
    begin = time.perf_counter()
    result = None if validation is None else evaluate(network(), validation.epoch(0))
    return EpochRecord(
        epoch=state.epoch + 1,
        step=state.step,
        losses=state.mean_losses(),
        scores=[] if result is None else list(result.scores),
        validation_losses=[] if result is None else list(result.losses),
        lr=rates,
        seconds=state.seconds,
        validation_seconds=time.perf_counter() - begin,
    )

"""The record of a finished epoch: its losses, and what the network is worth on other data."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Literal, TypeAlias

from associated_learning.errors import InputError
from associated_learning.inference.evaluation import Evaluation, evaluate
from associated_learning.inference.metrics.metric import EvaluationMetric
from associated_learning.inference.metrics.names import MetricLike, as_metric
from associated_learning.network import Network
from associated_learning.state.history import EpochRecord, TrainingState
from associated_learning.targets import Target
from associated_learning.training.batch_stream import BatchSource
from associated_learning.training.callbacks import Callback

__all__ = ["EpochMetric", "epoch_metric", "epoch_record"]

EpochMetric: TypeAlias = "EvaluationMetric | Literal['loss'] | None"


def epoch_metric(metric: MetricLike | None, target: Target, *, validated: bool) -> EpochMetric:
    """Return by what the epochs of a training are compared; None for the target's own score.

    Args:
        metric: What the user asks for.
        target: What y is.
        validated: Whether there are validation data.

    Raises:
        InputError: There is no such metric, it does not say which way is better, or there are no
            data to measure it on.
    """
    if metric is None:
        return None
    if not validated:
        raise InputError(
            f"metric={metric!r} came without validation data, on which the best epoch is chosen. "
            "Give them, or leave it out."
        )
    if isinstance(metric, str) and metric == "loss":  # == of a metric makes another metric
        return "loss"
    chosen = as_metric(metric, target)
    chosen.sign()
    return chosen


def epoch_record(
    state: TrainingState,
    rates: list[float],
    network: Callable[[], Network],
    validation: BatchSource | None,
    listener: Callback,
    metric: EpochMetric = None,
) -> EpochRecord:
    """Evaluate every depth of the network, and return the record of the epoch that has ended.

    Args:
        state: Where training stands, the epoch not yet counted.
        rates: The learning rate of each block in that epoch.
        network: Gives the network as it was at the epoch's end.
        validation: What to evaluate it on; None leaves the scores out.
        listener: Told of every batch of it, and of the network.
        metric: What takes the place of the target's score.
    """
    begin, result = time.perf_counter(), None
    if validation is not None:
        net = network()
        metrics = [metric] if isinstance(metric, EvaluationMetric) else []
        observe = partial(listener.validation_batch_done, state)
        result = evaluate(net, validation.epoch(0), metrics=metrics, observe=observe)
        listener.validated(state, net)
    return EpochRecord(
        epoch=state.epoch + 1,
        step=state.step,
        losses=state.mean_losses(),
        scores=[] if result is None else _scores(result, metric),
        validation_losses=[] if result is None else list(result.losses),
        lr=rates,
        seconds=state.seconds,
        validation_seconds=time.perf_counter() - begin,
    )


def _scores(result: Evaluation, metric: EpochMetric) -> list[float]:
    """Return a score for each depth, the larger the better."""
    if metric is None:
        return list(result.scores)
    if isinstance(metric, EvaluationMetric):
        return [metric.sign() * value for value in result.metrics[metric.name]]
    return [-loss for loss in result.losses]

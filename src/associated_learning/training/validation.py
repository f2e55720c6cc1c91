"""The record of a finished epoch: its losses, and what the network is worth on other data."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal, TypeAlias

from associated_learning.errors import InputError
from associated_learning.inference.evaluation import Evaluation, Observer, evaluate
from associated_learning.inference.metrics.metric import EvaluationMetric
from associated_learning.inference.metrics.names import MetricLike, as_metric
from associated_learning.network import Network
from associated_learning.state.training_state import EpochRecord, TrainingState
from associated_learning.targets import Target
from associated_learning.training.batch_stream import BatchSource
from associated_learning.training.callbacks import Callback

__all__ = ["EpochMetric", "epoch_metric", "epoch_record", "scored"]

EpochMetric: TypeAlias = "EvaluationMetric | Literal['loss'] | None"


def epoch_metric(metric: MetricLike | None, target: Target, *, validated: bool) -> EpochMetric:
    """Return by what the epochs of a training are compared; None for the target's own score.

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
    """Evaluate every depth of the network, and return the record of the epoch that has ended."""
    begin = time.perf_counter()
    scores, losses = list[float](), list[float]()
    if validation is not None:
        net = network()
        sees = listener.sees_outputs()
        observe = partial(listener.validation_batch_done, state) if sees else None
        scores, found = scored(net, validation.epoch(0), metric, observe)
        losses = list(found.losses)
        listener.validated(state, net)
    return EpochRecord(
        epoch=state.epoch + 1,
        step=state.step,
        losses=state.mean_losses(),
        scores=scores,
        validation_losses=losses,
        lr=rates,
        seconds=state.seconds,
        validation_seconds=time.perf_counter() - begin,
    )


def scored(
    net: Network,
    batches: Iterable[Any],
    metric: EpochMetric,
    observe: Observer | None = None,
) -> tuple[list[float], Evaluation]:
    """Return a score for each depth, the larger the better, and what else was measured."""
    metrics = [metric] if isinstance(metric, EvaluationMetric) else []
    found = evaluate(net, batches, metrics=metrics, observe=observe)
    if metric is None:
        return list(found.scores), found
    if isinstance(metric, EvaluationMetric):
        return [metric.sign() * value for value in found.metrics[metric.name]], found
    return [-loss for loss in found.losses], found

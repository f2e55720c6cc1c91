"""By what the epochs of a run are compared, what that is called, and which way is better."""

from __future__ import annotations

import math
from collections.abc import Sequence

from associated_learning.errors import InputError, needs_extra
from associated_learning.runs.settings.config import RunConfig

__all__ = ["check_metric", "epoch_metric_name", "headline", "perplexities", "shown_scores"]

_DECREASING = ("perplexity", "calibration_error")  # less is better, as of a loss
_OF_TASK = {"lm": "perplexity", "regression": "R²", "multilabel": "label accuracy"}
_OWN = ("accuracy",)  # of a classification the score itself


def check_metric(config: RunConfig) -> None:
    """Raise InputError for a metric that a run of that task is not compared by.

    Example:
        >>> check_metric(RunConfig(metric="f1", task="classification"))
    """
    if config.metric is None:
        return
    if config.task in ("regression", "lm"):
        raise InputError(
            f"--metric {config.metric} came with --task {config.task}, whose best epoch is that of "
            f"the {'best R²' if config.task == 'regression' else 'least loss'}; leave it out."
        )
    if config.metric not in (*_OWN, "loss"):
        with needs_extra("metrics", f"--metric {config.metric}"):
            import torchmetrics  # noqa: F401


def epoch_metric_name(config: RunConfig) -> str | None:
    """Return the metric of a run's epochs as `Trainer` takes it; None for the task's own score.

    Example:
        >>> epoch_metric_name(RunConfig()), epoch_metric_name(RunConfig(metric="auroc"))
        (None, 'auroc')
    """
    if config.task == "lm":
        return "loss"
    return None if config.metric in _OWN else config.metric


def headline(config: RunConfig) -> str:
    """Return the name of what the best epoch of a run is told by.

    Example:
        >>> headline(RunConfig(task="regression")), headline(RunConfig(metric="f1"))
        ('R²', 'f1')
    """
    own = None if config.metric in _OWN else config.metric
    return own or _OF_TASK.get(config.task or "", "accuracy")


def shown_scores(config: RunConfig, scores: Sequence[float]) -> list[float]:
    """Return scores, of which more is better, as what `headline` names.

    Example:
        >>> shown_scores(RunConfig(metric="loss"), [-0.5]), shown_scores(RunConfig(), [0.9])
        ([0.5], [0.9])
    """
    if config.task == "lm":  # whose scores are losses
        return perplexities([-score for score in scores])
    falls = headline(config) in ("loss", *_DECREASING)
    return [-score for score in scores] if falls else list(scores)


def perplexities(losses: Sequence[float]) -> list[float]:
    """Return the perplexity of each mean loss of a token.

    Example:
        >>> perplexities([0.0])
        [1.0]
    """
    return [math.exp(loss) if loss < 700 else math.inf for loss in losses]

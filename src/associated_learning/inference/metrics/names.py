"""Metrics by their names: which there are for a target, and what stands behind each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from torch import Tensor

from associated_learning.errors import InputError, nearest, needs_extra
from associated_learning.inference.metrics.metric import EvaluationMetric, Inputs, counted_answers
from associated_learning.targets import Classes, MultiLabel, Target

if TYPE_CHECKING:
    from torchmetrics import Metric

__all__ = ["MetricLike", "as_metric", "chosen_metrics", "metrics_by_name"]

MetricLike: TypeAlias = "str | Metric | EvaluationMetric"

_MACRO: dict[str, Any] = {"average": "macro"}
# name -> its class in torchmetrics.classification, less the task, and the arguments
_OF_LABELS: dict[str, tuple[str, dict[str, Any]]] = {
    "accuracy": ("Accuracy", {"average": "micro"}),
    "balanced_accuracy": ("Accuracy", _MACRO),
    "f1": ("F1Score", _MACRO),
    "precision": ("Precision", _MACRO),
    "recall": ("Recall", _MACRO),
    "iou": ("JaccardIndex", _MACRO),
    "auroc": ("AUROC", _MACRO),
    "average_precision": ("AveragePrecision", _MACRO),
    "mcc": ("MatthewsCorrCoef", {}),
}
_OF_CLASSES = _OF_LABELS | {
    "kappa": ("CohenKappa", {}),
    "calibration_error": ("CalibrationError", {}),
}
# the same in torchmetrics.regression; the last one compares single values only
_OF_VALUES: dict[str, tuple[str, dict[str, Any]]] = {
    "mse": ("MeanSquaredError", {}),
    "rmse": ("MeanSquaredError", {"squared": False}),
    "mae": ("MeanAbsoluteError", {}),
    "mape": ("MeanAbsolutePercentageError", {}),
    "r2": ("R2Score", {}),
    "explained_variance": ("ExplainedVariance", {}),
    "pearson": ("PearsonCorrCoef", {}),
}
# as scikit-learn spells them, and people
_ALSO = {"macro_f1": "f1", "f1_macro": "f1", "f1_score": "f1", "roc_auc": "auroc"}


def metrics_by_name(target: Target) -> tuple[str, ...]:
    """Return the names of the metrics that suit a target.

    Args:
        target: What y is.

    Returns:
        What ``metrics=`` of `evaluate` and ``metric=`` of `Trainer` take beside metrics of
        torchmetrics, which computes them (the extra ``metrics``).

    Example:
        >>> from associated_learning import Regression
        >>> metrics_by_name(Regression(2))
        ('mse', 'rmse', 'mae', 'mape', 'r2', 'explained_variance')
    """
    if isinstance(target, Classes):
        return (*_OF_CLASSES, "perplexity")
    if isinstance(target, MultiLabel):
        return tuple(_OF_LABELS)
    return tuple(name for name in _OF_VALUES if target.size == 1 or name != "pearson")


def as_metric(metric: MetricLike, target: Target) -> EvaluationMetric:
    """Return a metric of a network's answers, by its name or as it came.

    Args:
        metric: A name of `metrics_by_name` (or "macro_f1", "roc_auc"), a metric of torchmetrics,
            or an `EvaluationMetric`.
        target: What y is.

    Raises:
        InputError: There is no such metric for that target, or torchmetrics is not installed.

    Example:
        >>> from associated_learning import Classes
        >>> as_metric("iou", Classes(3, positions=2)).metric
        MulticlassJaccardIndex()
    """
    with needs_extra("metrics", "a metric"):
        from torchmetrics import Metric
    if isinstance(metric, EvaluationMetric):
        return metric
    if isinstance(metric, Metric):
        return EvaluationMetric(metric)
    known = metrics_by_name(target)
    standing = _ALSO.get(metric, metric)
    if standing not in known:
        raise InputError(
            f"metric {metric!r} came for {type(target).__name__}({target.size}); expected one of "
            f"{', '.join(known)}, or a metric of torchmetrics.{nearest(str(metric), known)}"
        )
    if metric == "perplexity":
        return EvaluationMetric(_perplexity(), metric, _rows_of_logits(target))
    return EvaluationMetric(_named(standing, target), metric)


def chosen_metrics(metrics: Iterable[MetricLike], target: Target) -> list[EvaluationMetric]:
    """Return several metrics, each with a name of its own.

    Raises:
        InputError: See `as_metric`; or two have the same name.
    """
    found = [as_metric(metric, target) for metric in metrics]
    names = [one.name for one in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(
            f"two metrics came with the name {min(twice)}; give each its own: "
            "EvaluationMetric(metric, 'name')."
        )
    return found


def _named(name: str, target: Target) -> Metric:
    with needs_extra("metrics", "a metric"):
        from torchmetrics import classification, regression
    if isinstance(target, Classes):
        kind, options = _OF_CLASSES[name]
        made = getattr(classification, f"Multiclass{kind}")
        return made(num_classes=target.k, **options)
    if isinstance(target, MultiLabel):
        kind, options = _OF_LABELS[name]
        made = getattr(classification, f"Multilabel{kind}")
        ignored = target.ignore_index if target.positions else None
        return made(num_labels=target.k, ignore_index=ignored, **options)
    kind, options = _OF_VALUES[name]
    return getattr(regression, kind)(**options)


def _perplexity() -> Metric:
    with needs_extra("metrics", "a metric"):
        from torchmetrics.text import Perplexity
    return Perplexity()


def _rows_of_logits(target: Target) -> Inputs:
    """Return what tells `Perplexity` of a batch: all positions that count as one text."""

    def inputs(output: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        if target.bounded_output:
            rows, labels = counted_answers(target, output, y)
            return rows.log().unsqueeze(0), labels.unsqueeze(0)
        kept = target.kept(y)
        return output[kept].float().unsqueeze(0), y[kept].long().unsqueeze(0)

    return inputs

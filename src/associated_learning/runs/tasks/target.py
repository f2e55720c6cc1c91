"""What y is in a run."""

from __future__ import annotations

from associated_learning.runs.networks.input_spec import InputSpec
from associated_learning.runs.settings.config import ResolvedConfig
from associated_learning.targets import Classes, MultiLabel, Regression
from associated_learning.targets.target import FirstLoss

__all__ = ["task_target"]


def task_target(config: ResolvedConfig, spec: InputSpec) -> Classes | MultiLabel | Regression:
    """Return what y is.

    Example:
        >>> from associated_learning.runs.settings.config import RunConfig
        >>> from associated_learning.runs.settings.resolved import resolved
        >>> task_target(resolved(RunConfig()), InputSpec(kind="image", num_classes=3)).k
        3
    """
    if config.task == "regression":
        return Regression(1)
    loss: FirstLoss = "mse" if config.method == "al" and config.first_loss == "mse" else "ce"
    weight = spec.class_weights or None
    if config.task == "multilabel":
        return MultiLabel(spec.num_classes, loss, weight=weight)
    return Classes(
        spec.num_classes,
        loss,
        positions=spec.positions,
        weight=weight,
        label_smoothing=config.label_smoothing,
    )

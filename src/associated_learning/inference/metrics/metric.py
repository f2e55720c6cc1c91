"""A metric of torchmetrics, and what it is told of every batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from associated_learning.errors import InputError
from associated_learning.targets import Classes, Target

if TYPE_CHECKING:
    from torchmetrics import Metric

__all__ = ["EvaluationMetric", "Inputs", "counted_answers"]

Inputs: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class EvaluationMetric:
    """A metric of torchmetrics, and what it is told of every batch.

    Args:
        metric: It gives one number. It is copied, and stays as it is.
        name: What it is called in results; the name of its class by default.
        inputs: Makes what `Metric.update` takes of an output ``[B, *P, size]`` and of y. By default
            a metric sees the positions that count, one behind the other: probabilities ``[N, k]``
            and labels ``[N]`` (``[N, k]`` of `MultiLabel`), or values and values, both ``[N, d]``,
            ``[N]`` where ``d`` is 1. Binary metrics of two classes see the probability of the
            second.

    Example:
        >>> from torchmetrics.classification import BinaryAUROC
        >>> ranking = EvaluationMetric(
        ...     BinaryAUROC(), "ranking", lambda output, y: (output.softmax(-1)[..., 1], y)
        ... )
        >>> ranking.name
        'ranking'
    """

    metric: Metric
    name: str = ""
    inputs: Inputs | None = None

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", type(self.metric).__name__)

    def told(self, target: Target, output: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the metric takes of a batch: the answers, and what is so.

        Args:
            target: What y is.
            output: ``[B, *P, size]``.
            y: The targets.
        """
        if self.inputs is not None:
            return self.inputs(output, y)
        answers, known = counted_answers(target, output, y)
        if type(self.metric).__name__.startswith("Binary") and isinstance(target, Classes):
            answers = answers[:, 1] if target.k == 2 else answers
        return answers, known

    def sign(self) -> int:
        """Return 1 where more is better and -1 where less is.

        Raises:
            InputError: The metric does not tell.
        """
        if self.metric.higher_is_better is None:
            raise InputError(
                f"metric {self.name} does not say whether more of it is better; the best epoch "
                "cannot be chosen by it. Set higher_is_better on the metric, or choose another."
            )
        return 1 if self.metric.higher_is_better else -1


def counted_answers(target: Target, output: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return what a network says, and what is so, at the positions that count."""
    kept = target.kept(y)
    labels, probabilities = target.predict(output[kept])
    if probabilities is not None:
        return probabilities, y[kept].long()
    values, known = labels.float(), y.reshape(output.shape)[kept]
    whole = ~torch.isnan(known).any(-1)
    values, known = values[whole], known[whole].float()
    return (values[:, 0], known[:, 0]) if target.size == 1 else (values, known)

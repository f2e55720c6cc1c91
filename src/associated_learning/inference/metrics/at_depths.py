"""A metric of a network's answers at every depth, while batches come in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from associated_learning.errors import InputError
from associated_learning.inference.metrics.metric import EvaluationMetric
from associated_learning.targets import Target

__all__ = ["DepthMetric"]


class DepthMetric:
    """A metric of a network's answers at every depth, while batches come in."""

    def __init__(self, metric: EvaluationMetric, target: Target, depths: int) -> None:
        self.name = metric.name
        self._target = target
        self._metric = metric
        self._copies = [metric.metric.clone() for _ in range(depths)]
        for one in self._copies:
            one.reset()
            # only one of the ranks evaluates: the others would never come to meet it
            one.distributed_available_fn = lambda: False

    def add(self, depth: int, output: Tensor, y: Tensor) -> None:
        """Take in the output of a depth, from 1, on a batch, ``[B, *P, size]``, and its y.

        Raises:
            InputError: The metric cannot take them.
        """
        if not bool(self._target.kept(y).any()):
            return
        answers, known = self._metric.told(self._target, output, y)
        with self._explained():
            self._copies[depth - 1].to(answers.device).update(answers, known)

    def values(self) -> tuple[float, ...]:
        """Return one number for each depth.

        Raises:
            InputError: The metric gives something else, or cannot take what it was told.
        """
        with self._explained():
            found = [copy.compute() for copy in self._copies]
        return tuple(self._as_number(value) for value in found)

    def _as_number(self, value: Any) -> float:
        if not isinstance(value, Tensor) or value.numel() != 1:
            shape = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise InputError(
                f"metric {self.name} gives {shape}; expected one number. Let it average over "
                "classes or outputs (average='macro')."
            )
        return float(value)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, RuntimeError, IndexError, TypeError) as error:
            raise InputError(
                f"metric {self.name} cannot take the answers of this network and y: {error} Say "
                "what it takes by EvaluationMetric(metric, inputs=...)."
            ) from error

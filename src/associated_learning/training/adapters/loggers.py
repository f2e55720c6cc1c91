"""Callbacks that hand losses and scores to trackers of experiments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol

from associated_learning.errors import InputError, needs_extra
from associated_learning.state.training_state import EpochRecord, TrainingState
from associated_learning.training.callbacks import Callback, Losses

__all__ = ["LogsDictionaries", "MLflow", "RunLog"]


class LogsDictionaries(Protocol):
    """A run of Weights & Biases or trackio: what ``wandb.init`` or ``trackio.init`` returns."""

    def log(self, metrics: dict[str, Any], /, step: int | None = None) -> object:
        """Record values by name, of a weight update."""


class _Tracker(Callback, ABC):
    """Names the values as `TensorBoard` does: ``loss/TERM/layer-I``, ``validation/depth-I``."""

    def __init__(self, *, every: int = 20) -> None:
        if every < 1:
            raise InputError(f"every={every} came; expected at least 1 batch.")
        self.every = every

    @abstractmethod
    def write(self, values: dict[str, float], step: int) -> None:
        """Hand over values of a weight update."""

    def batch_done(self, state: TrainingState, losses: Losses) -> None:
        if state.step % self.every == 0:
            blocks = enumerate(losses, start=1)
            values = {f"loss/{k}/layer-{i}": v for i, terms in blocks for k, v in terms.items()}
            self.write(values, state.step)

    def epoch_done(self, state: TrainingState, record: EpochRecord) -> None:
        values = {f"validation/depth-{i}": score for i, score in enumerate(record.scores, start=1)}
        values |= {f"lr/layer-{i}": rate for i, rate in enumerate(record.lr, start=1)}
        self.write({**values, "epoch": float(record.epoch)}, record.step)


class RunLog(_Tracker):
    """Logs to a run of Weights & Biases or trackio, which you begin and finish yourself.

    Args:
        run: What ``wandb.init(...)`` or ``trackio.init(...)`` returned.
        every: Number of batches between two entries of the training losses.

    Example:
        >>> import associated_learning as al
        >>> class Run:
        ...     def log(self, metrics, step=None):
        ...         print(step, sorted(metrics))
        >>> RunLog(Run()).write({"validation/depth-1": 0.9}, step=20)
        20 ['validation/depth-1']
    """

    def __init__(self, run: LogsDictionaries, *, every: int = 20) -> None:
        super().__init__(every=every)
        self.run = run

    def write(self, values: dict[str, float], step: int) -> None:
        self.run.log(values, step=step)


class MLflow(_Tracker):
    """Logs to a run of MLflow: the active one, or one by its id.

    Args:
        run_id: The run; None for the active one (MLflow begins one if there is none).
        every: Number of batches between two entries of the training losses.

    Raises:
        InputError: MLflow is not installed.
    """

    def __init__(self, run_id: str | None = None, *, every: int = 20) -> None:
        super().__init__(every=every)
        with needs_extra("mlflow", "a log of MLflow"):
            import mlflow
        self._mlflow: Any = mlflow
        self.run_id = run_id

    def write(self, values: dict[str, float], step: int) -> None:
        self._mlflow.log_metrics(values, step=step, run_id=self.run_id)

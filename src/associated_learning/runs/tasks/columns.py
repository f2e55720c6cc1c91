"""What tables show of the scores of a run: accuracies, or losses and perplexities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec

from associated_learning.inference.evaluation import Evaluation
from associated_learning.runs.result import RunResult
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.tasks.metric import headline, perplexities, shown_scores

__all__ = ["Columns", "evaluation_columns", "result_columns", "task_metrics"]

Columns = Mapping[str, Sequence[float]]


def result_columns(config: RunConfig, result: RunResult) -> Columns:
    """Return the columns of a finished run, one number a depth each."""
    if config.task == "lm":
        return {
            "validation loss": result.validation_losses,
            "validation perplexity": perplexities(result.validation_losses),
            "test loss": result.test_losses,
            "test perplexity": perplexities(result.test_losses),
        }
    name = headline(config)
    what = "" if name == "accuracy" else f" {name}"
    return {
        f"validation{what}": shown_scores(config, result.validation_scores),
        f"test{what}": shown_scores(config, result.test_scores),
    }


def task_metrics(task: str) -> tuple[str, ...]:
    """Return the names of what a split of the data is measured by beside the accuracy.

    Without torchmetrics it is nothing.
    """
    named = {"tokens": ("f1",), "multilabel": ("f1",), "segmentation": ("iou",)}.get(task, ())
    return named if find_spec("torchmetrics") is not None else ()


def evaluation_columns(task: str, found: Evaluation) -> Columns:
    """Return the columns of a split of the data, one number a depth each."""
    others = {"perplexity": perplexities(found.losses)} if task == "lm" else found.metrics
    name = "label accuracy" if task == "multilabel" else "accuracy"
    return {name: found.scores, **others, "loss": found.losses}

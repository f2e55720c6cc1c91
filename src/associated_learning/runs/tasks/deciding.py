"""What a run is for where nobody said it: told by the column of its labels, or by its folders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from associated_learning.data.mask_folder import has_masks
from associated_learning.data.named import NAMED
from associated_learning.data.reading import label_values
from associated_learning.data.target_numbers import are_numbers
from associated_learning.runs.config import RunConfig

__all__ = ["decided"]


def decided(config: RunConfig) -> tuple[RunConfig, str | None]:
    """Return settings that name their task, and what to say where the labels decided it.

    Args:
        config: The settings; without a task, those of the user's own file are decided by its label
            column: numbers make a regression, all else a classification. A folder with images and
            masks makes a segmentation.

    Raises:
        InputError: The file cannot be read, or has no such column.

    Example:
        >>> decided(RunConfig())[0].task
        'classification'
    """
    path = Path(config.data)
    if config.task is not None:
        return config, None
    if config.data not in NAMED and has_masks(path):
        line = f"{path} holds images and their masks: --task segmentation."
        return replace(config, task="segmentation"), line
    if config.data in NAMED or not path.is_file():
        return replace(config, task="classification"), None
    values = label_values(path, config.label_column)
    task, other = "classification", "--task regression if they are amounts"
    if are_numbers(values):
        task, other = "regression", "--task classification if they are classes"
    elif not all(type(value) in (int, float) for value in values):
        return replace(config, task=task), None
    count, column = len(set(values)), config.label_column or "label"
    return (
        replace(config, task=task),
        f"{column!r} has {count:,} different numbers: --task {task} ({other}).",
    )

"""What a run is for where nobody said it: told by the column of its labels, or by its folders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from associated_learning.data.labels.label_sets import are_sets, label_columns
from associated_learning.data.labels.target_numbers import are_numbers
from associated_learning.data.reading.by_name_or_path import column_names, label_values
from associated_learning.data.reading.mask_folder import has_masks
from associated_learning.data.reading.named import NAMED
from associated_learning.runs.settings.config import RunConfig

__all__ = ["decided"]


def decided(config: RunConfig) -> tuple[RunConfig, str | None]:
    """Return settings that name their task, and what to say where the labels decided it.

    Args:
        config: The settings; without a task, those of the user's own file are decided by its label
            column: numbers make a regression, lists or several columns a task of several labels,
            all else a classification. A folder with images and masks makes a segmentation.

    Raises:
        InputError: The file cannot be read, or has no such column.

    Example:
        >>> decided(RunConfig())[0].task
        'classification'
    """
    path, column = Path(config.data), config.label_column or "label"
    if config.task is not None:
        return config, None
    if config.data not in NAMED and has_masks(path):
        return _said(config, "segmentation", f"{path} holds images and their masks")
    if config.data in NAMED or not path.is_file():
        return replace(config, task="classification"), None
    if "," in column and len(label_columns(column, column_names(path))) > 1:
        return _said(config, "multilabel", f"{column!r} are several columns")
    values = [value for value in label_values(path, config.label_column) if value is not None]
    if are_sets(values):
        return _said(config, "multilabel", f"{column!r} holds lists")
    count = len(set(values)) if all(type(value) in (int, float) for value in values) else 0
    told = f"{column!r} has {count:,} different numbers"
    if are_numbers(values):
        return _said(config, "regression", told, "if they are classes: --task classification")
    if count:
        return _said(config, "classification", told, "if they are amounts: --task regression")
    return replace(config, task="classification"), None


def _said(config: RunConfig, task: str, why: str, other: str = "") -> tuple[RunConfig, str]:
    line = f"{why}, so this is a {task} task{f' ({other})' if other else ''}."
    return replace(config, task=task), line

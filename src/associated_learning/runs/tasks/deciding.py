"""What a run is for where nobody said it: told by the column of its labels, or by its folders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

from associated_learning.data.labels.label_sets import are_sets, label_columns
from associated_learning.data.labels.target_numbers import are_numbers
from associated_learning.data.reading.by_name_or_path import (
    LabelTask,
    column_names,
    label_values,
    only_text_column,
)
from associated_learning.data.reading.mask_folder import has_masks
from associated_learning.data.reading.named import NAMED
from associated_learning.runs.settings.config import ResolvedConfig, RunConfig

__all__ = ["decided"]

_TASKS: dict[str | None, LabelTask] = {task: task for task in get_args(LabelTask)}


def decided(config: RunConfig) -> tuple[RunConfig, str | None]:
    """Return settings that name their task and texts, and what to say where labels decided it.

    Args:
        config: The settings; without a task, those of the user's own file are decided by its label
            column: numbers make a regression, lists or several columns a task of several labels,
            all else a classification. A folder with images and masks makes a segmentation. Where
            a file has but one column of texts to read, that is named, so that the run finds it
            among any others.

    Raises:
        InputError: The file cannot be read, or has no such column.

    Example:
        >>> decided(RunConfig())[0].task
        'classification'
    """
    if isinstance(config, ResolvedConfig):  # of a run that goes on as it began
        return config, None
    chosen, line = (config, None) if config.task is not None else _of_labels(config)
    return _with_texts(chosen), line


def _with_texts(config: RunConfig) -> RunConfig:
    named = config.text_column is not None or config.feature_columns is not None
    if named or config.task not in _TASKS:
        return config
    if config.data in NAMED or not Path(config.data).is_file():
        return config
    texts = only_text_column(
        Path(config.data),
        label_column=config.label_column,
        weight_column=config.weight_column,
        task=_TASKS[config.task],
    )
    return replace(config, text_column=texts)


def _of_labels(config: RunConfig) -> tuple[RunConfig, str | None]:
    path, column = Path(config.data), config.label_column or "label"
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

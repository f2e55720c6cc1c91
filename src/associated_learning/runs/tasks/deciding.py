"""What a run is for where nobody said it: told by the column of its labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from associated_learning.data.named import NAMED
from associated_learning.data.reading import label_values
from associated_learning.data.target_numbers import are_numbers
from associated_learning.runs.config import RunConfig

__all__ = ["decided"]


def decided(config: RunConfig) -> tuple[RunConfig, str | None]:
    """Return settings that name their task, and what to say where the labels decided it.

    Args:
        config: The settings; without a task, those of the user's own file are decided by its label
            column: numbers make a regression, all else a classification.

    Raises:
        InputError: The file cannot be read, or has no such column.

    Example:
        >>> decided(RunConfig())[0].task
        'classification'
    """
    path = Path(config.data)
    if config.task is not None:
        return config, None
    if config.data in NAMED or not path.is_file():
        return replace(config, task="classification"), None
    values = label_values(path, config.label_column)
    column = config.label_column or "label"
    if are_numbers(values):
        line = (
            f"{column!r} has {len(set(values)):,} different numbers: --task regression "
            "(--task classification if they are classes)."
        )
        return replace(config, task="regression"), line
    if all(type(value) in (int, float) for value in values):
        line = (
            f"{column!r} has {len(set(values)):,} different numbers: --task classification "
            "(--task regression if they are amounts)."
        )
        return replace(config, task="classification"), line
    return replace(config, task="classification"), None

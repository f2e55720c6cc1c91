"""What a finished run tells its user to look at: one line each, with what to try."""

from __future__ import annotations

import math

from associated_learning.runs.result import RunResult
from associated_learning.runs.settings.config import ResolvedConfig
from associated_learning.runs.tasks.metric import headline, shown_scores
from associated_learning.training.length import enough_epochs, patient_epochs, updates_of

__all__ = ["advice"]

_LITTLE = 0.002  # of a score, which is no reason for another network
_LATE = 0.7  # of all epochs


def advice(config: ResolvedConfig, result: RunResult) -> list[str]:
    """Return what is wrong with a run by its validation scores, and what to try."""
    found = [
        _stopped(config, result),
        _no_better_than_one_answer(config, result),
        _still_rising(config, result),
        _too_deep(config, result),
    ]
    return [line for line in found if line is not None]


def _stopped(config: ResolvedConfig, result: RunResult) -> str | None:
    """Return why there are fewer epochs, or more, than the settings name."""
    if result.train_samples is None:  # a result that is older than this
        return None
    batches = math.ceil(result.train_samples / config.batch_size)
    updates = updates_of(batches, config.gradient_accumulation_steps)
    most = enough_epochs(updates, epochs=config.epochs, updates=config.min_updates)
    patience = patient_epochs(updates, epochs=config.patience, updates=config.patience_updates)
    impatient = 0 < patience < result.epochs < most
    if impatient and config.grow_from is None:
        depth = "any depth" if config.judge == "any" else "full depth"
        more = ", --patience-updates" if patience > config.patience else ""
        loss = " Less loss at an equal score does not count." if result.best_by_loss else ""
        return (
            f"It ended after epoch {result.epochs} of {most}: no better score of {depth} for "
            f"{patience} epochs (--patience{more}).{loss}"
        )
    if most > config.epochs:
        return (
            f"At least {config.min_updates:,} updates were made (--min-updates), which {most} "
            "epochs make of few rows."
        )
    return None


def _no_better_than_one_answer(config: ResolvedConfig, result: RunResult) -> str | None:
    best = max(result.validation_scores)
    if config.task == "regression":
        if best > 0:
            return None
        return (
            f"No depth is better than always answering the mean, R² {best:.4f} on the validation "
            "data: try other --lr, more --min-updates, and whether targets belong to inputs."
        )
    if result.largest_class is None or best > result.largest_class:
        return None
    return (
        f"No depth is better than always answering {_usual(config)}, {best:.4f} on the "
        f"validation data against {result.largest_class:.4f}: try other --lr, more --min-updates, "
        "and whether the labels belong to the inputs."
    )


def _usual(config: ResolvedConfig) -> str:
    several = config.task == "multilabel"
    return "no label but the usual ones" if several else "the most frequent class"


def _still_rising(config: ResolvedConfig, result: RunResult) -> str | None:
    *before, last = [max(scores) for scores in result.validation_curve]
    if result.best_epoch < result.epochs or (before and last <= max(before)):
        return None
    return (
        f"The validation score still rose in the last epoch, {result.epochs}: try "
        f"--epochs {2 * result.epochs}"
        + (" and a larger --grow-patience." if config.grow_from is not None else ".")
    )


def _too_deep(config: ResolvedConfig, result: RunResult) -> str | None:
    full, best = len(result.validation_scores), result.best_depth
    if best is None or result.validation_scores[best - 1] - result.validation_scores[-1] < _LITTLE:
        return None
    scores = shown_scores(config, result.validation_scores)
    name = headline(config)
    what = "" if name.endswith("accuracy") else "losses " if name == "loss" else f"{name} "
    late = result.best_epoch > _LATE * result.epochs  # else the upper layers have overfitted
    return (
        f"Depth {best} of {full} is the best on the validation data, "
        f"{what}{scores[best - 1]:.4f} against {scores[-1]:.4f} at full depth: al predict answers "
        f"there. Try fewer layers{', or more epochs for the upper ones' if late else ''}."
    )

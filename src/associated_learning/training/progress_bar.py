"""A live progress bar with the losses of every layer."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from associated_learning.state.training_state import EpochRecord, TrainingState
from associated_learning.training.callbacks import Callback, Losses

__all__ = ["ProgressBar"]

_MOST_LINES = 50


class ProgressBar(Callback):
    """Shows the epoch, the updates of all epochs, and the running loss of every layer.

    Each finished epoch leaves one line: losses, validation scores in percent, seconds; "best" where
    the score is the best so far, "best by loss" where an earlier epoch has it too and the
    validation loss is less, which patience does not count. Of more than fifty epochs every tenth,
    twentieth, ... leaves one, and the last. In a notebook too; the bar moves there where ipywidgets
    is installed.

    Args:
        label: What is trained, such as "AL" or "BP".
        only_best: Leave a line only where the validation score is the best so far.
        console: Where to show it; standard error by default, so that output can be piped.
    """

    def __init__(
        self, label: str = "", *, only_best: bool = False, console: Console | None = None
    ) -> None:
        self.label = label
        self.only_best = only_best
        self.console = console or Console(stderr=True)
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._epochs = 0
        self._batches = 0

    def started(self, state: TrainingState, *, epochs: int, batches: int) -> None:
        self._epochs, self._batches = epochs, batches
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[losses]}"),
            console=self.console,
            transient=True,
            disable=self.console.is_jupyter and importlib.util.find_spec("ipywidgets") is None,
        )
        total = epochs * batches  # so that the time that is left is that of the whole run
        self._task = self._progress.add_task(self._title(state), total=total, losses="")
        self._progress.start()
        self._progress.update(self._task, completed=self._done(state))

    def batch_done(self, state: TrainingState, losses: Losses) -> None:
        if self._progress is not None and self._task is not None:
            losses_text = "loss " + _layer_losses(state.mean_losses())
            self._progress.update(self._task, completed=self._done(state), losses=losses_text)

    def epoch_done(self, state: TrainingState, record: EpochRecord) -> None:
        if self._progress is None or self._task is None:
            return
        if self._shows(state, record):
            self.console.print(
                self._line(state, record), highlight=False, soft_wrap=True, emoji=False
            )
        self._progress.update(self._task, description=self._title(state), losses="")

    def ended(self, state: TrainingState) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _shows(self, state: TrainingState, record: EpochRecord) -> bool:
        if self.only_best:
            return state.best_epoch == record.epoch
        every = (
            1 if self._epochs <= _MOST_LINES else 10 * math.ceil(self._epochs / 10 / _MOST_LINES)
        )
        return record.epoch % every == 0 or record.epoch == self._epochs or state.stopped

    def _line(self, state: TrainingState, record: EpochRecord) -> str:
        line = f"{escape(self.label)} epoch {record.epoch:>{len(str(self._epochs))}}/{self._epochs}"
        line += f"  loss {_layer_losses(record.losses)}"
        if record.scores:
            line += "  validation " + _scores(record.scores)
        line += f"  [dim]{record.seconds:.1f} s[/]"
        if state.best_epoch != record.epoch:
            return line
        return line + (" [green]best by loss[/]" if state.best_by_loss else " [green]best[/]")

    def _done(self, state: TrainingState) -> int:
        return state.epoch * self._batches + state.batch

    def _title(self, state: TrainingState) -> str:
        return f"{self.label} epoch {min(state.epoch + 1, self._epochs)}/{self._epochs}"


def _scores(scores: Sequence[float]) -> str:
    """Return shares in percent; losses, which are scores with the sign turned, as losses."""
    if min(scores) < 0:
        return "loss " + " ".join(f"{-score:.3f}" for score in scores)
    return " ".join(f"{100 * score:.1f}" for score in scores)


def _layer_losses(losses: Losses) -> str:
    return " ".join(f"{sum(terms.values()):.3f}" for terms in losses)

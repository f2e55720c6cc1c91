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
from rich.text import Text

from associated_learning.state.training_state import EpochRecord, TrainingState
from associated_learning.training.callbacks import Callback, Losses

__all__ = ["ProgressBar"]

_MOST_LINES = 50
_BAR = 24, 4  # columns of the bar: most, and least where the terminal is narrow
_TIME_AND_GAPS = 7 + 4  # 0:04:57, and a space between two columns


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
        self.console = console or Console(stderr=True, emoji=False)
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._bar = BarColumn(bar_width=_BAR[0])
        self._epochs = 0
        self._batches = 0

    def started(self, state: TrainingState, *, epochs: int, batches: int) -> None:
        self._epochs, self._batches = epochs, batches
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            self._bar,
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
            losses_text = self._fitted("loss " + _layer_losses(state.mean_losses()), state)
            self._progress.update(self._task, completed=self._done(state), losses=losses_text)

    def epoch_done(self, state: TrainingState, record: EpochRecord) -> None:
        if self._progress is None or self._task is None:
            return
        if self._shows(state, record):
            self._print_line(state, record)
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

    def _print_line(self, state: TrainingState, record: EpochRecord) -> None:
        """Print what an epoch came to; on a narrow screen without the losses, if it has scores."""
        screen = self.console.is_terminal
        line = self._line(state, record)
        if screen and record.scores and Text.from_markup(line).cell_len > self.console.width:
            line = self._line(state, record, with_losses=False)
        self.console.print(line, highlight=False, soft_wrap=not screen, emoji=False)

    def _line(self, state: TrainingState, record: EpochRecord, *, with_losses: bool = True) -> str:
        line = f"{escape(self.label)} epoch {record.epoch:>{len(str(self._epochs))}}/{self._epochs}"
        if with_losses:
            line += f"  loss {_layer_losses(record.losses)}"
        if record.scores:
            line += "  validation " + _scores(record.scores)
        line += f"  [dim]{record.seconds:.1f} s[/]"
        if state.best_epoch != record.epoch:
            return line
        return line + (" [green]best by loss[/]" if state.best_by_loss else " [green]best[/]")

    def _fitted(self, losses: str, state: TrainingState) -> str:
        """Return losses as there is room: the bar gives way first, then they; no number is cut."""
        counts = 2 * len(str(self._epochs * self._batches)) + 1
        room = self.console.width - len(self._title(state)) - counts - _TIME_AND_GAPS
        most, least = _BAR
        self._bar.bar_width = min(most, max(least, room - len(losses)))
        if len(losses) <= room - self._bar.bar_width:
            return losses
        return losses[: max(0, room - self._bar.bar_width - 1)].rpartition(" ")[0] + " …"

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

"""A live view of a network that grows: every layer, what it does, and how its exit does."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from associated_learning.state.training_state import EpochRecord, TrainingState
from associated_learning.training.callbacks import Callback, Losses

__all__ = ["GrowthView", "sparkline"]

_BARS = "▁▂▃▄▅▆▇█"
_CURVE = 20  # epochs


class GrowthView(Callback):
    """Shows the layers as a stack that grows, the newest on top, above a bar for the epoch.

    A line is left for every layer that is put on top. Where the output is no terminal, the stack
    is shown once, at the end.

    Args:
        console: Where to show it; standard error by default, so that output can be piped.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self._task = self._bar.add_task("")
        self._live: Live | None = None
        self._epochs = 0
        self._depth = 0

    def started(self, state: TrainingState, *, epochs: int, batches: int) -> None:
        self._epochs, self._depth = epochs, state.depth
        self._live = Live(console=self.console, refresh_per_second=8)
        self._live.start()
        self._bar.update(self._task, total=batches)
        self._show(state)

    def batch_done(self, state: TrainingState, losses: Losses) -> None:
        self._show(state)

    def epoch_done(self, state: TrainingState, record: EpochRecord) -> None:
        self._show(state)

    def grown(self, state: TrainingState) -> None:
        if state.depth > self._depth:
            told = f"after epoch {state.epoch}: layer {state.depth} is put on top"
            below = f", layers 1 to {state.frozen} are frozen" if state.frozen else ""
            self.console.print(told + below, highlight=False)
        self._depth = state.depth
        self._show(state)

    def ended(self, state: TrainingState) -> None:
        if self._live is not None:
            self._live.update(_stack(state))
            self._live.stop()
            self._live = None
            if not self.console.is_terminal:
                self.console.line()

    def _show(self, state: TrainingState) -> None:
        if self._live is not None:
            title = f"epoch {min(state.epoch + 1, self._epochs)}/{self._epochs}"
            self._bar.update(self._task, description=title, completed=state.batch)
            self._live.update(Group(_stack(state), self._bar))


def sparkline(values: Sequence[float]) -> str:
    """Return the last values as small bars, from the least to the greatest of them.

    Example:
        >>> sparkline([0.1, 0.5, 0.9])
        '▁▅█'
    """
    values = values[-_CURVE:]
    least, span = min(values), max(values) - min(values)
    steps = len(_BARS) - 1
    return "".join(
        _BARS[round(steps * (value - least) / span) if span > 0 else 0] for value in values
    )


def _stack(state: TrainingState) -> Table:
    table = Table()
    for heading in ("layer", "", "loss", "exit", "best exit", "last epochs"):
        table.add_column(heading, justify="left" if heading in ("", "last epochs") else "right")
    for number in range(state.depth, 0, -1):
        losses = state.mean_losses() if state.batch else _last_losses(state)
        loss = f"{sum(losses[number - 1].values()):.4f}" if number <= len(losses) else ""
        since = [record for record in state.records if len(record.scores) >= number]
        curve = [record.scores[number - 1] for record in since]
        exits = [f"{100 * curve[-1]:.2f} %", f"{100 * max(curve):.2f} %"] if curve else ["", ""]
        doing = "frozen" if number <= state.frozen else "trains"
        style = "dim" if number <= state.frozen else None
        drawn = sparkline(curve) if curve else ""
        table.add_row(str(number), doing, loss, *exits, drawn, style=style)
    return table


def _last_losses(state: TrainingState) -> Losses:
    return state.records[-1].losses if state.records else []

"""What the commands that train share: ranks, interrupts, and the row in a ledger."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import typer

from associated_learning.cli.tables import command, console
from associated_learning.pipeline.interrupt import ending_the_process
from associated_learning.runs.distributed import follow_run, ranks_of
from associated_learning.runs.ledger.rows import append_row, make_row
from associated_learning.runs.printable import escape
from associated_learning.runs.result import RunResult
from associated_learning.runs.run import read_config, train_run
from associated_learning.runs.settings.config import ResolvedConfig
from associated_learning.state.checkpoint import Checkpoints
from associated_learning.training.callbacks import Callback
from associated_learning.verification.memory import keep_freed_memory, return_freed_memory

__all__ = ["run_training", "write_row"]

_GRACE = 5.0  # seconds that a second Ctrl-C leaves to what hangs


def run_training(
    config: ResolvedConfig, folder: Path, callbacks: Iterable[Callback]
) -> RunResult | None:
    """Train, in one process or as rank 0 of several; other ranks follow it and get None.

    Raises:
        typer.Exit: Ctrl-C; what to do next was said.
    """
    if config.executor == "offload" or config.has_stores:
        return_freed_memory()  # layers come and go, and memory is what is scarce
    else:
        keep_freed_memory()
    try:
        with ending_the_process(_GRACE), ranks_of(config) as ranks:
            if ranks is not None and ranks.rank > 0:
                follow_run(config, ranks)
                return None
            return train_run(config, folder, callbacks=callbacks, ranks=ranks)
    except KeyboardInterrupt:
        if os.environ.get("RANK", "0") == "0":
            _show_interrupted(folder)
        raise typer.Exit(130) from None


def write_row(ledger: Path, folder: Path, result: RunResult, experiment: str, variant: str) -> None:
    """Append the row of a finished run to a ledger, unless it is there."""
    # the folder's settings, because a finished run does not compute where it is asked to now
    row = make_row(read_config(folder), result, experiment=experiment, variant=variant)
    if not append_row(ledger, row):
        console.print(f"{escape(str(ledger))} holds this run already; no row was added.")


def _show_interrupted(folder: Path) -> None:
    if Checkpoints(folder / "checkpoints").has("last"):
        resume = f"{command()} train --resume {folder}"
        line = f"the run is saved. Go on with:\n  {escape(resume)}"
    else:
        line = "nothing of the run was saved yet. Start it again by the same command."
    console.print(f"\nInterrupted; {line}", soft_wrap=True)

"""``al train``: train a network by AL or BP."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from associated_learning.cli.options import is_given, with_run_options
from associated_learning.cli.running import run_training, write_row
from associated_learning.cli.tables import (
    console,
    say,
    scores_table,
    show_next,
    show_no_picture,
    show_table,
)
from associated_learning.errors import CheckpointError, InputError
from associated_learning.runs.advice import advice
from associated_learning.runs.folder.going_on import LENGTH, overwritten
from associated_learning.runs.folder.open_run import open_run
from associated_learning.runs.ledger.rows import check_ledger
from associated_learning.runs.printable import escape
from associated_learning.runs.result import RunResult, read_result
from associated_learning.runs.run import default_folder, read_config
from associated_learning.runs.settings.config import COMPUTING, ResolvedConfig, RunConfig
from associated_learning.runs.settings.resolved import resolved
from associated_learning.runs.tasks.columns import result_columns
from associated_learning.runs.tasks.deciding import decided
from associated_learning.runs.tasks.metric import headline
from associated_learning.state.checkpoint import Checkpoints
from associated_learning.state.training_state import TrainingState
from associated_learning.training.callbacks import Callback, Losses, TensorBoard
from associated_learning.training.progress_bar import ProgressBar

__all__ = ["train"]

OUTPUT = "Output"
# what may differ when a run goes on, beside where and how fast it computes: what is shown of it
_SHOWING = ("tensorboard", "ledger", "experiment", "variant", "quiet")


@with_run_options()
def train(
    ctx: typer.Context,
    *,
    run_folder: Annotated[
        str | None,
        typer.Option(
            help="Folder of the run; runs/DATA-MODEL-METHOD-SEED if not given.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Remove the run that is in the folder, and start anew.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="Go on with the run in this folder, with the settings it was started with; with "
            "--epochs, --min-updates or --patience for longer.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    tensorboard: Annotated[
        bool,
        typer.Option("--tensorboard", help="Write TensorBoard logs too.", rich_help_panel=OUTPUT),
    ] = False,
    ledger: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Append a row to this ledger.", rich_help_panel=OUTPUT),
    ] = None,
    experiment: Annotated[
        str, typer.Option(help="Name of the experiment in the ledger.", rich_help_panel=OUTPUT)
    ] = "single",
    variant: Annotated[
        str, typer.Option(help="Name of the variant in the ledger.", rich_help_panel=OUTPUT)
    ] = "default",
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Show no progress.", rich_help_panel=OUTPUT)
    ] = False,
    **settings: Any,
) -> None:
    """Train a network by Associated Learning (al) or by backpropagation (bp).

    The best epoch is chosen on validation data; the test data are read once, at the end. A run
    that was interrupted is resumed exactly by the same command, or by --resume. With more
    --epochs a run goes on where it ended.

    Examples:

        al train

        al train --data fashion_mnist --model cnn --method bp

        al train --data reviews.csv --text-column text --label-column stars --model bilstm

        al train --data prices.csv --label-column price --model mlp

        al train --resume runs/digits-mlp-al-0

        al train --data sst2 --model bilstm --executor threads --stages 2

        al train --task lm --data texts.txt --model hf:models/gpt2 --block-size 128

        torchrun --nproc-per-node 2 --no-python al train --data sst2 --model bilstm
    """
    if resume is not None:
        if overwrite:
            raise InputError(f"--resume {resume} came with --overwrite, which would remove it.")
        folder, config, line = Path(resume), _resumed(ctx, Path(resume)), None
    else:
        chosen, line = decided(RunConfig(**settings))
        config = resolved(chosen)
        folder = default_folder(config) if run_folder is None else Path(run_folder)
    if ledger is not None and headline(config) != "accuracy":
        raise InputError(
            f"--ledger {ledger} came for a run that is told by its {headline(config)}; a ledger "
            "holds accuracies. Leave it out; the result.json of the run has them."
        )
    if ledger is not None:
        check_ledger(Path(ledger))
    removes = overwrite and os.environ.get("RANK", "0") == "0"
    with overwritten(folder) if removes else nullcontext():
        result = _train(config, folder, line, tensorboard=tensorboard, quiet=quiet)
    if result is None:
        return
    if ledger is not None:
        write_row(Path(ledger), folder, result, experiment, variant)
    _show(folder, config, result)


def _train(
    config: ResolvedConfig, folder: Path, line: str | None, *, tensorboard: bool, quiet: bool
) -> RunResult | None:
    """Train, and say what begins; ``line`` says what the labels decided."""
    callbacks: list[Callback] = [TensorBoard(folder / "tensorboard")] if tensorboard else []
    begin = None
    if not quiet:  # last, so that no bar is left on the screen if another cannot start
        lines = [] if line is None else [line]
        bar = ProgressBar(config.method.upper())
        # on one screen they share it, so that the line does not stand in the middle of the bar
        to = bar.console if console.is_terminal and bar.console.is_terminal else console
        begin = _Begin([*lines, _what_begins(folder, config)], to)
        callbacks += [begin, bar]
        console.print(f"Reading {escape(config.data)} ...", soft_wrap=True)
    result = run_training(config, folder, callbacks)
    if result is not None and begin is not None and not begin.told:
        say(
            f"Nothing was left to train: the run in {escape(str(folder))} had ended. More --epochs "
            "go on with it; --overwrite starts anew."
        )
    return result


def _resumed(ctx: typer.Context, folder: Path) -> ResolvedConfig:
    """Return the settings to go on with; raise InputError for those that cannot change."""
    given = [name for name in ctx.params if is_given(ctx, name) and name != "resume"]
    refused = [name for name in given if name not in COMPUTING + LENGTH + _SHOWING]
    if refused:
        raise InputError(
            f"--resume came with {_options(refused)}, but a run goes on with the settings it was "
            f"started with; expected only {_options(COMPUTING + LENGTH + _SHOWING)}. Leave the "
            "others out, or start a new run."
        )
    changed = {name: ctx.params[name] for name in given if name in COMPUTING + LENGTH}
    if "epochs" in changed:
        # as many epochs as are asked for
        changed = {"min_updates": 0, "patience_updates": 0, **changed}
    config = replace(read_config(folder), **changed)
    if read_result(folder) is None and not Checkpoints(folder / "checkpoints").has("last"):
        raise CheckpointError(
            f"{folder} holds no checkpoint to go on from: it was stopped before the first one, or "
            "its checkpoints or their index.json are lost. Restore them, or start it again by the "
            "command that started it."
        )
    return config


def _options(names: Iterable[str]) -> str:
    return ", ".join("--" + name.replace("_", "-") for name in names)


class _Begin(Callback):
    """Says what begins once it does: nothing is said of a run that is refused."""

    def __init__(self, lines: Sequence[str], to: Console) -> None:
        self._lines = tuple(lines)
        self._to = to

    @property
    def told(self) -> bool:
        """Whether anything was trained."""
        return not self._lines

    def batch_done(self, state: TrainingState, losses: Losses) -> None:
        for line in self._lines:
            say(escape(line), to=self._to)
        self._lines = ()


def _what_begins(folder: Path, config: ResolvedConfig) -> str:
    went_on = "goes on" if (folder / "config.json").exists() else "begins"
    what = f"{config.data}, {config.model_name} by {config.method.upper()}"
    return f"{what}: {went_on} in {folder}"


def _show(folder: Path, config: ResolvedConfig, result: RunResult) -> None:
    data, model = escape(config.data), escape(config.model_name)
    of_equals = ", of equal ones that of the least validation loss" if result.best_by_loss else ""
    title = (
        f"{data}, {model} by {config.method.upper()}: {headline(config)} in the best epoch, "
        f"{result.best_epoch} of {result.epochs}{of_equals}; {result.seconds:.0f} s of training"
    )
    say(title)
    show_table(scores_table(open_run(folder).net, result_columns(config, result)))
    for line in advice(config, result):
        say(f"[yellow]{escape(line)}[/]")
    show_no_picture()
    show_next(
        folder,
        (
            "evaluate RUN",
            "predict RUN INPUT ... (or --file FILE)",
            # some tasks have no graph (see `check_form`)
            f"export RUN {'FOLDER' if config.task in ('tokens', 'lm') else 'model.onnx'}",
            "info RUN",
        ),
    )

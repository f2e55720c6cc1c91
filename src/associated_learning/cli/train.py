"""``al train``: train a network by AL or BP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from associated_learning.callbacks import Callback, TensorBoard
from associated_learning.cli.options import with_run_options
from associated_learning.cli.tables import console, scores_table
from associated_learning.experiments.config import RunConfig
from associated_learning.experiments.families import resolved
from associated_learning.experiments.ledger import append_row, make_row
from associated_learning.experiments.run import (
    RunResult,
    default_folder,
    open_run,
    read_config,
    train_run,
)
from associated_learning.memory import keep_freed_memory
from associated_learning.progress import ProgressBar

__all__ = ["train"]

OUTPUT = "Output"


@with_run_options
def train(
    *,
    run_folder: Annotated[
        str | None,
        typer.Option(
            help="Folder of the run; runs/DATA-MODEL-METHOD-SEED if not given.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="Go on with the run in this folder, with the settings it was started with.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option(help="Write TensorBoard logs too.", rich_help_panel=OUTPUT)
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
    quiet: Annotated[bool, typer.Option(help="Show no progress.", rich_help_panel=OUTPUT)] = False,
    **settings: Any,
) -> None:
    """Train a network by Associated Learning (al) or by backpropagation (bp).

    The best epoch is chosen on validation data; the test data are read once, at the end. A run
    that was interrupted is resumed exactly by the same command, or by --resume.

    Examples:

        al train

        al train --data fashion_mnist --model cnn --method bp

        al train --data reviews.csv --text-column text --label-column stars --model bilstm

        al train --resume runs/digits-mlp-al-0
    """
    if resume is not None:
        folder, config = Path(resume), read_config(Path(resume))
    else:
        config = RunConfig(**settings)
        folder = default_folder(config) if run_folder is None else Path(run_folder)
    config = resolved(config)
    keep_freed_memory()
    try:
        result = train_run(config, folder, callbacks=_callbacks(config, folder, tensorboard, quiet))
    except KeyboardInterrupt:
        console.print(
            f"\nInterrupted; the run is saved. Go on with:\n  al train --resume {folder}",
            soft_wrap=True,
        )
        raise typer.Exit(130) from None
    if ledger is not None:
        row = make_row(config, result, experiment=experiment, variant=variant)
        append_row(Path(ledger), row)
    _show(folder, config, result)


def _callbacks(config: RunConfig, folder: Path, tensorboard: bool, quiet: bool) -> list[Callback]:
    callbacks: list[Callback] = [] if quiet else [ProgressBar(config.method.upper())]
    if tensorboard:
        callbacks.append(TensorBoard(folder / "tensorboard"))
    return callbacks


def _show(folder: Path, config: RunConfig, result: RunResult) -> None:
    title = (
        f"{config.data}, {config.model} by {config.method.upper()}: accuracy in the best epoch, "
        f"{result.best_epoch} of {result.epochs}; {result.seconds:.0f} s of training"
    )
    columns = {"validation": result.validation_scores, "test": result.test_scores}
    console.print(title, soft_wrap=True)
    console.print(scores_table(open_run(folder).net, columns))
    console.print(
        f"The run is in {folder}. Next: al evaluate {folder} --depth all, al predict {folder} ..., "
        f"al info {folder}",
        soft_wrap=True,
    )

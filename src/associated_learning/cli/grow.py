"""``al grow``: depth found by training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from associated_learning.cli.options import with_run_options
from associated_learning.cli.running import run_training, write_row
from associated_learning.cli.tables import console, show_next, show_no_picture, show_table
from associated_learning.inference.parameters import count_parameters
from associated_learning.runs.folder.open_run import open_run
from associated_learning.runs.ledger.rows import check_ledger
from associated_learning.runs.printable import escape
from associated_learning.runs.result import RunResult, read_history
from associated_learning.runs.run import default_folder
from associated_learning.runs.settings.config import ResolvedConfig, RunConfig
from associated_learning.runs.settings.resolved import resolved
from associated_learning.runs.tasks.deciding import decided
from associated_learning.state.training_state import EpochRecord
from associated_learning.training.growth.view import GrowthView

__all__ = ["grow"]

OUTPUT = "Output"
MOST_LAYERS = 6


@with_run_options(
    num_layers=f"{MOST_LAYERS}; cnn and vgg all they have", grow_from="1", patience="0"
)
def grow(
    *,
    run_folder: Annotated[
        str | None,
        typer.Option(
            help="Folder of the run; runs/DATA-MODEL-al-grown-SEED if not given.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    ledger: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Append a row to this ledger.", rich_help_panel=OUTPUT),
    ] = None,
    quiet: Annotated[bool, typer.Option(help="Show no progress.", rich_help_panel=OUTPUT)] = False,
    **settings: Any,
) -> None:
    """Let a network grow as it trains: layers come on top until one is not worth it.

    It begins with one layer. When the validation accuracy of the top exit stands still, the next
    layer comes on top, and all go on training; lower layers go on as if nothing were above them.
    The best depth is kept. --num-layers is the most it may grow to. The run is one like any other
    for al evaluate, predict and export; an interrupted one goes on by the same command.

    Examples:

        al grow --data fashion_mnist --model cnn

        al grow --data sst2 --model bilstm --grow-gain 0.002 --grow-freeze
    """
    config = _with_defaults(RunConfig(**settings))
    folder = default_folder(config) if run_folder is None else Path(run_folder)
    if ledger is not None:
        check_ledger(Path(ledger))
    result = run_training(config, folder, [] if quiet else [GrowthView()])
    if result is None:
        return
    if ledger is not None:
        write_row(Path(ledger), folder, result, "growth", "grown")
    _show(folder, config, result)


def _with_defaults(config: RunConfig) -> ResolvedConfig:
    layers = config.num_layers
    if layers is None and config.model not in ("cnn", "vgg"):
        layers = MOST_LAYERS
    config, _ = decided(config)
    return resolved(replace(config, num_layers=layers, grow_from=config.grow_from or 1))


def _show(folder: Path, config: ResolvedConfig, result: RunResult) -> None:
    data, model = escape(config.data), escape(config.model_name)
    depth = len(result.test_scores)
    console.print(
        f"{data}, {model}: grown to depth {depth} is best, in epoch {result.best_epoch} of "
        f"{result.epochs}; {result.seconds:.0f} s of training",
        soft_wrap=True,
    )
    show_table(_depths_table(folder, result))
    show_no_picture()
    show_next(folder, ("evaluate RUN --depth all", "export RUN model.onnx", "info RUN"))


def _depths_table(folder: Path, result: RunResult) -> Table:
    records = read_history(folder)
    counts = count_parameters(open_run(folder).net).inference
    table = Table()
    for heading in ("depth", "since epoch", "best validation", "test", "parameters"):
        table.add_column(heading, justify="right")
    for depth in range(1, max(len(record.scores) for record in records) + 1):
        kept = depth <= len(result.test_scores)
        since, best = _since(records, depth)
        table.add_row(
            str(depth),
            str(since),
            f"{best:.4f}",
            f"{result.test_scores[depth - 1]:.4f}" if kept else "not kept",
            f"{counts[depth - 1]:,}" if kept else "",
        )
    return table


def _since(records: list[EpochRecord], depth: int) -> tuple[int, float]:
    """Return in which epoch a depth was there first, and its best validation score."""
    own = [record for record in records if len(record.scores) >= depth]
    return own[0].epoch, max(record.scores[depth - 1] for record in own)

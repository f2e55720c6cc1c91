"""``al verify pipeline``: proof that a pipeline trains to the same bits as one process."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from rich.table import Table

from associated_learning.cli.options import with_run_options
from associated_learning.cli.tables import console
from associated_learning.errors import VerificationError
from associated_learning.runs.equivalence import verify_run
from associated_learning.runs.settings.config import RunConfig
from associated_learning.verification.equivalence import Equivalence

__all__ = ["verify"]

verify = typer.Typer(
    name="verify",
    help="Prove on your own network and data what the library promises.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@verify.callback()
def _verify() -> None:
    """Keep ``pipeline`` a command of its own, though it is the only one so far."""


@verify.command()
@with_run_options()
def pipeline(
    *,
    steps: Annotated[int, typer.Option(help="Number of weight updates.", min=1)] = 200,
    **settings: Any,
) -> None:
    """Train in one process and by a pipeline, and compare the bits of every layer.

    Weights, statistics and states of the optimizers must be the same: SHA-256 of each is shown.
    Exits with 1 if any of them differs. Both runs use one thread inside operations.

    Examples:

        al verify pipeline --executor threads --stages 3

        al verify pipeline --data sst2 --model bilstm --executor threads --steps 50

        torchrun --nproc-per-node 2 --no-python al verify pipeline --executor processes
    """
    if settings["executor"] == "auto" and settings["stages"] is None:
        alone = os.environ.get("WORLD_SIZE", "1") == "1"  # else: the ranks that torchrun started
        settings["executor"] = "threads" if alone else "auto"
    try:
        report = verify_run(RunConfig(**settings), steps=steps)
    except VerificationError as error:
        console.print(str(error), soft_wrap=True, markup=False, highlight=False)
        sys.exit(1)
    if report is not None:
        _show(report)


def _show(report: Equivalence) -> None:
    table = Table()
    for heading in ("SHA-256 after training", "sequential", "pipeline", "same"):
        table.add_column(heading)
    for row in report.rows:
        table.add_row(row.name, row.sequential[:16], row.pipeline[:16], "yes")
    console.print(table)
    console.print(
        f"After {report.steps} weight updates the pipeline holds the same bits as one process, in "
        f"the weights and the optimizers of all layers.",
        soft_wrap=True,
    )

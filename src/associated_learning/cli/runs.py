"""``al runs``: the runs in a folder, and what came out of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from associated_learning.cli.tables import show_table, shown_score
from associated_learning.errors import AssociatedLearningError, InputError
from associated_learning.runs.printable import escape
from associated_learning.runs.result import read_result
from associated_learning.runs.run import read_config
from associated_learning.runs.tasks.columns import result_columns
from associated_learning.runs.tasks.metric import headline

__all__ = ["runs"]


def runs(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Where the runs are.")] = "runs",
) -> None:
    """List the runs in a folder, with the scores of the depth that is best on validation.

    Examples:

        al runs

        al runs runs/sweep
    """
    place = Path(folder)
    found = sorted(path.parent for path in place.glob("[!.]*/config.json"))  # not those set aside
    if not found:
        raise InputError(
            f"{folder} holds no run; name a folder in which runs are, or train one: al train"
        )
    table = Table("run", "network", "epochs", "score", "validation", "test")
    for path in found:
        table.add_row(escape(path.name), *map(escape, _columns(path)))
    show_table(table)


def _columns(path: Path) -> tuple[str, ...]:
    try:
        config, result = read_config(path), read_result(path)
    except AssociatedLearningError:
        return "cannot be read", "", "", "", ""
    network = f"{config.model_name}, {config.method}"
    if result is None:
        return network, "not finished", "", "", ""
    by_depth = result.validation_scores
    depth = result.best_depth or 1 + max(range(len(by_depth)), key=by_depth.__getitem__)
    columns = result_columns(config, result)
    name = headline(config)
    told = [
        values
        for heading, values in columns.items()
        if name in ("accuracy", heading.split(" ", 1)[-1])
    ]
    return (
        network,
        str(result.epochs),
        name,
        *(shown_score(name, values[depth - 1]) for values in told),
    )

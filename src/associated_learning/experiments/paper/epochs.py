"""Pairs of columns that Tables 2, 3 and 4 have for each data set: best epoch and accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from associated_learning.experiments.paper.cell import Cell, Printed, accuracy, best_epoch
from associated_learning.experiments.paper.runs import Run

__all__ = ["Pair", "epoch_cells"]

Pair = tuple[tuple[float, float], tuple[float, float]]  # (epoch, sd), (accuracy, sd)


def epoch_cells(
    rows: Sequence[tuple[str, str, str, str]],
    columns: Mapping[str, str],
    paper: Mapping[str, Sequence[Pair]],
) -> tuple[Cell, ...]:
    """Return the cells of a table of epochs and accuracies.

    Args:
        rows: Heading, key into ``paper``, model and arm of each row.
        columns: Heading of each data set.
        paper: For each key one pair a data set, in the order of ``columns``.
    """
    cells = []
    for heading, key, model, arm in rows:
        for (data, title), (epoch, score) in zip(columns.items(), paper[key], strict=True):
            run = Run(data=data, model=model, arm=arm)
            cells.append(
                Cell(
                    row=heading,
                    column=f"{title}, epoch",
                    run=run,
                    read=best_epoch,
                    paper=Printed(mean=epoch[0], sd=epoch[1]),
                )
            )
            cells.append(
                Cell(
                    row=heading,
                    column=f"{title}, accuracy",
                    run=run,
                    read=accuracy(),
                    paper=Printed(mean=score[0], sd=score[1]),
                )
            )
    return tuple(cells)

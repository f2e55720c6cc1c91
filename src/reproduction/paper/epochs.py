"""Pairs of columns that Tables 2, 3 and 4 have for each data set: best epoch and accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat

from reproduction.paper.cell import Cell, Printed, accuracy, best_epoch
from reproduction.paper.runs import Run

__all__ = ["Pair", "epoch_cells"]

Pair = tuple[tuple[float, float], tuple[float, float]]  # (epoch, sd), (accuracy, sd)


def epoch_cells(
    rows: Sequence[tuple[str, str | None, str, str]],
    columns: Mapping[str, str],
    paper: Mapping[str, Sequence[Pair]],
) -> tuple[Cell, ...]:
    """Return the cells of a table of epochs and accuracies.

    Args:
        rows: Heading, key into ``paper`` (None: the paper lacks it), model and arm of each row.
        columns: Heading of each data set.
        paper: For each key one pair a data set, in the order of ``columns``.
    """
    cells = []
    for heading, key, model, arm in rows:
        known = repeat(None) if key is None else paper[key]
        for (data, title), pair in zip(columns.items(), known, strict=False):
            run = Run(data=data, model=model, arm=arm)
            cells.append(
                Cell(
                    row=heading,
                    column=f"{title}, epoch",
                    run=run,
                    read=best_epoch,
                    paper=pair and Printed(*pair[0]),
                )
            )
            cells.append(
                Cell(
                    row=heading,
                    column=f"{title}, accuracy",
                    run=run,
                    read=accuracy(),
                    paper=pair and Printed(*pair[1]),
                )
            )
    return tuple(cells)

"""The variant of AL that validation data choose, and what the test data then say of it."""

from __future__ import annotations

from dataclasses import dataclass

from associated_learning.runs.ledger.rows import LedgerRow
from reproduction.paper.cell import Cell, Table, accuracy
from reproduction.report.cells import ENOUGH, RowIndex
from reproduction.report.statistics import Spread, spread

__all__ = ["Choice", "choices"]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One column of a table of variants.

    Attributes:
        column: Its heading.
        chosen: Heading of the row of the highest mean on validation data.
        validation: That mean, in percent.
        test: Test accuracy of the chosen one.
        default: Test accuracy of the baseline of the table.
    """

    column: str
    chosen: str
    validation: Spread
    test: Spread
    default: Spread


def choices(table: Table, index: RowIndex, tier: str) -> list[Choice]:
    """Return for each column which variant validation data choose.

    Variants of fewer than three seeds are not chosen; test is read of two rows a column, never to
    choose.
    """
    found = []
    for column in dict.fromkeys(cell.column for cell in table.cells):
        cells = {cell.row: cell for cell in table.cells if cell.column == column}
        rows = {name: _rows(cell, index, tier) for name, cell in cells.items()}
        means = {name: _mean(cells[name], of) for name, of in rows.items() if len(of) >= ENOUGH}
        if table.baseline not in means:
            continue
        chosen = max(means, key=lambda name: means[name].mean)
        found.append(
            Choice(
                column=column,
                chosen=chosen,
                validation=means[chosen],
                test=_test(rows[chosen]),
                default=_test(rows[table.baseline]),
            )
        )
    return found


def _rows(cell: Cell, index: RowIndex, tier: str) -> tuple[LedgerRow, ...]:
    evidence = index.evidence(cell.run, tier)
    return () if evidence is None else evidence.rows


def _mean(cell: Cell, rows: tuple[LedgerRow, ...]) -> Spread:
    return spread([cell.read(row) or 0.0 for row in rows])


def _test(rows: tuple[LedgerRow, ...]) -> Spread:
    read = accuracy()
    return spread([read(row) or 0.0 for row in rows])

"""The tuning budget: one grid of learning rates for BP and AL, judged on validation data.

Command: ``al reproduce rates --tier cpu --seeds 0``.
Cost: 40 runs, 1 h 48 min on one core by the cpu tier with one seed.
The paper chose between two rates for its LSTM baseline (section 6.5.1). Here both methods get the
same grid; the rates of the cpu tier are to be chosen by this table, never by test data.
"""

from __future__ import annotations

from associated_learning.experiments.ledger import LedgerRow
from associated_learning.experiments.paper.cell import Cell, Table
from associated_learning.experiments.paper.runs import Run

__all__ = ["TABLE"]

GRID = (2.5e-4, 5e-4, 1e-3, 2e-3)
_ROWS = {
    ("sst2", "bilstm"): "SST, LSTM",
    ("ag_news", "bilstm"): "AGNews, LSTM",
    ("sst2", "transformer"): "SST, Tran",
    ("ag_news", "transformer"): "AGNews, Tran",
    ("fashion_mnist", "cnn"): "Fashion-MNIST, CNN",
}


def best_validation(row: LedgerRow) -> float | None:
    """Read the validation accuracy in percent at full depth in the best epoch."""
    return 100 * row.validation[-1]


TABLE = Table(
    name="rates",
    title="Learning rates: validation accuracy in percent at full depth",
    cells=tuple(
        Cell(
            row=f"{title}, {arm.upper()}",
            column=f"{rate:g}",
            run=Run(data=data, model=model, arm=arm, extra=(("lr", rate),)),
            read=best_validation,
        )
        for (data, model), title in _ROWS.items()
        for arm in ("bp", "al")
        for rate in GRID
    ),
)

"""Table 3: best epoch and accuracy on SST and DBpedia.

Command: ``al reproduce table3 --tier cpu``.
Cost: nothing beyond Table 1, whose runs it reads.
The paper: see `PAPER`. It prints 82.33 for the LSTM on SST here and 82.23 in Table 1.
"""

from __future__ import annotations

from reproduction.paper.cell import Table
from reproduction.paper.epochs import Pair, epoch_cells
from reproduction.paper.table2 import ROWS

__all__ = ["PAPER", "TABLE"]

# epoch and accuracy on SST, on DBpedia
PAPER: dict[str, tuple[Pair, Pair]] = {
    "LSTM": (((16.0, 2.65), (82.33, 0.93)), ((31.8, 5.26), (97.34, 0.11))),
    "LSTM-AL": (((2.25, 1.89), (81.33, 0.31)), ((14.6, 2.97), (98.30, 0.01))),
    "Tran": (((6.0, 2.1), (76.48, 0.55)), ((6.75, 1.71), (97.37, 0.06))),
    "Tran-AL": (((9.67, 0.58), (81.16, 0.11)), ((13.75, 2.22), (97.55, 0.06))),
}

TABLE = Table(
    name="table3",
    title="Table 3: best epoch and test accuracy, SST and DBpedia",
    cells=epoch_cells(ROWS, {"sst2": "SST", "dbpedia_14": "DBpedia"}, PAPER),
    note="Epochs of the cpu tier are of a smaller training set, so only their order compares.",
)

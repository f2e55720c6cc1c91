"""Table 2: best epoch and accuracy on IMDB and AG News.

Command: ``al reproduce table2 --tier cpu``.
Cost: nothing beyond Table 1, whose runs it reads.
The paper: see `PAPER`. Epochs such as 3.75 and 20.25 are no means of five whole numbers.
"""

from __future__ import annotations

from reproduction.paper.cell import Table
from reproduction.paper.epochs import Pair, epoch_cells

__all__ = ["PAPER", "ROWS", "TABLE"]

# epoch and accuracy on IMDB, on AG News
PAPER: dict[str, tuple[Pair, Pair]] = {
    "LSTM": (((15.4, 2.60), (86.25, 0.63)), ((25.4, 13.42), (90.32, 0.23))),
    "LSTM-AL": (((4.0, 1.22), (86.41, 0.61)), ((2.4, 0.89), (91.53, 0.20))),
    "Tran": (((35.0, 6.63), (83.45, 0.33)), ((3.75, 0.96), (90.71, 0.28))),
    "Tran-AL": (((4.4, 0.55), (85.65, 0.77)), ((20.25, 12.39), (91.17, 0.43))),
}
ROWS = (
    ("LSTM, the paper's network", "LSTM", "bilstm", "bp"),
    ("LSTM, the encoders of AL", None, "bilstm", "bp-encoders"),
    ("LSTM, as released", "LSTM", "bilstm", "bp-released"),
    ("LSTM-AL", "LSTM-AL", "bilstm", "al"),
    ("Tran, the paper's network", "Tran", "transformer", "bp"),
    ("Tran, the encoders of AL", None, "transformer", "bp-encoders"),
    ("Tran, as released", "Tran", "transformer", "bp-released"),
    ("Tran-AL", "Tran-AL", "transformer", "al"),
)

TABLE = Table(
    name="table2",
    title="Table 2: best epoch and test accuracy, IMDB and AG News",
    cells=epoch_cells(ROWS, {"imdb": "IMDB", "ag_news": "AGNews"}, PAPER),
    note="Epochs of the cpu tier are of a smaller training set, so only their order compares.",
)

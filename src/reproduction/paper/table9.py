"""Table 9: associated loss of each layer of the LSTM-AL.

Command: ``al reproduce table9 --tier cpu``.
Cost: nothing beyond Table 1, whose runs it reads.
The paper: see `PAPER`. It does not say on which data, nor in which epoch; ours is the mean over
the training data in the best epoch.
"""

from __future__ import annotations

from reproduction.paper.associated import associated_cells
from reproduction.paper.cell import Table

__all__ = ["PAPER", "TABLE"]

PAPER = {
    "Embedding layer": (5.6061e-5, 1.4802e-4),
    "LSTM-1": (3.7440e-5, 5.3281e-5),
    "LSTM-2": (1.7786e-7, 4.8651e-6),
}
TABLE = Table(
    name="table9",
    title="Table 9: associated loss by layer, LSTM-AL",
    cells=associated_cells("bilstm", PAPER),
    note="What compares is the order of the layers: the size depends on the scale of t.",
)

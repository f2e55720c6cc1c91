"""Table 10: associated loss of each layer of the Transformer-AL.

Command: ``al reproduce table10 --tier cpu``.
Cost: nothing beyond Table 1, whose runs it reads.
The paper: see `PAPER`, and the remarks on Table 9.
"""

from __future__ import annotations

from reproduction.paper.associated import associated_cells
from reproduction.paper.cell import Table

__all__ = ["PAPER", "TABLE"]

PAPER = {
    "Embedding layer": (5.8318e-5, 3.3179e-4),
    "Layer-1": (3.0053e-6, 1.2561e-4),
    "Layer-2": (7.4727e-8, 1.3976e-5),
}
TABLE = Table(
    name="table10",
    title="Table 10: associated loss by layer, Tran-AL",
    cells=associated_cells("transformer", PAPER),
    note="What compares is the order of the layers: the size depends on the scale of t.",
)

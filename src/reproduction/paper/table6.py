"""Table 6: ablations on AG News with the BiLSTM, rebuilt from section 3.5.

Command: ``al reproduce table6 --tier cpu``.
Cost: 21 runs, 1 h 43 min on one core by the cpu tier, of which Table 1 has six.
The paper: see `PAPER`. No code of these rows was released.
"""

from __future__ import annotations

from reproduction.paper.cell import Cell, Printed, Table, accuracy, best_epoch
from reproduction.paper.runs import Run

__all__ = ["PAPER", "TABLE"]

# heading, arm, depth (0: full), accuracy and best epoch with their standard deviations
PAPER: tuple[tuple[str, str, int, tuple[float, float], tuple[float, float]], ...] = (
    ("LSTM-AL w/o grad. stops", "no-stops", 0, (91.39, 0.24), (2.2, 0.45)),
    ("LSTM-AL w/o L_A (i < L), w/o grad. stops", "one-associated", 0, (91.48, 0.15), (23.8, 6.83)),
    ("LSTM + AE*1", "one-autoencoder", 0, (90.75, 0.13), (27.5, 7.57)),
    ("LSTM w/o AE (SC-1)", "no-autoencoders", 2, (89.30, 0.88), (7.75, 7.51)),
    ("LSTM w/o AE (full)", "no-autoencoders", 0, (89.39, 0.99), (7.75, 7.51)),
    ("LSTM + MLP*3", "mlp-head", 0, (90.15, 0.15), (37.6, 2.89)),
    ("LSTM, the paper's network", "bp", 0, (90.32, 0.23), (25.4, 13.42)),
    ("LSTM, as released", "bp-released", 0, (90.32, 0.23), (25.4, 13.42)),
    ("LSTM-AL", "al", 0, (91.53, 0.20), (2.4, 0.89)),
)


def _cells() -> list[Cell]:
    cells = []
    for heading, arm, depth, score, epoch in PAPER:
        run = Run(data="ag_news", model="bilstm", arm=arm)
        cells += [
            Cell(
                row=heading,
                column="accuracy",
                run=run,
                read=accuracy(depth),
                paper=Printed(mean=score[0], sd=score[1]),
            ),
            Cell(
                row=heading,
                column="best epoch",
                run=run,
                read=best_epoch,
                paper=Printed(mean=epoch[0], sd=epoch[1]),
            ),
        ]
    return cells


TABLE = Table(
    name="table6",
    title="Table 6: ablations on AG News, test accuracy in percent and best epoch",
    cells=tuple(_cells()),
    note="AE*1: both LSTM layers and the embedding in one AL layer. MLP*3: two dense layers of "
    "128 before the logits, as wide as the decoders of AL.",
)

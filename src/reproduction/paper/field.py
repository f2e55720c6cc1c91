"""Beyond the paper: the field on the same encoders, by the same protocol.

Command: ``al reproduce field --tier cpu``.
Cost: 90 runs, 3 h 52 min on one core by the cpu tier.
The paper prints none of these but BP and AL. Deep supervision: BranchyNet (Teerapittayanon et al.,
2016); local cross-entropy: decoupled greedy learning (Belilovsky et al., 2020); predsim: Nøkland
and Eidnes (2019); layer-wise greedy: one layer after the other, an equal share of the epochs each.
"""

from __future__ import annotations

from reproduction.paper.cell import Cell, Table, accuracy
from reproduction.paper.runs import Run

__all__ = ["TABLE"]

_COLUMNS = {
    ("ag_news", "bilstm"): "AG News, LSTM",
    ("ag_news", "transformer"): "AG News, Transformer",
    ("sst2", "bilstm"): "SST, LSTM",
    ("sst2", "transformer"): "SST, Transformer",
    ("fashion_mnist", "cnn"): "Fashion-MNIST, CNN",
}
_ROWS = {
    "bp": "Backpropagation, the paper's network",
    "bp-encoders": "Backpropagation, the same encoders",
    "al": "Associated learning (Equation 3)",
    "contrast": "Associated learning of this library (contrast)",
    "deep-supervision": "Deep supervision (no stops)",
    "no-autoencoders": "Local cross-entropy (decoupled greedy)",
    "predsim": "predsim",
    "greedy": "Layer-wise greedy",
}

TABLE = Table(
    name="field",
    title="The field: test accuracy in percent at full depth",
    cells=tuple(
        Cell(
            row=heading,
            column=column,
            run=Run(data=data, model=model, arm=arm),
            read=accuracy(),
        )
        for arm, heading in _ROWS.items()
        for (data, model), column in _COLUMNS.items()
    ),
    baseline="Backpropagation, the paper's network",
)

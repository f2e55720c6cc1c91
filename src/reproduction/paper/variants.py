"""Beyond the paper: the switches between paper and released code, one at a time.

Command: ``al reproduce variants --tier cpu``.
Cost: 117 runs, 5 h 19 min on one core by the cpu tier.
Where paper, pseudocode and code disagree stands in docs/decisions.md; the library's defaults are
to be chosen by this table, which reads validation data alone.
"""

from __future__ import annotations

from reproduction.paper.cell import Cell, Table, best_validation
from reproduction.paper.runs import Run

__all__ = ["TABLE"]

_DEFAULT = "the default"
_DEFAULT_ARMS = {"bilstm": "al", "transformer": "al", "cnn": "contrast"}  # of the preset "paper"
_EVERY = {
    "target-learns": "(a) g learns from the associated loss",
    "first-mse": "(b) squared error for the first autoencoder",
    "target-learns-mse": "(a) and (b)",
    "bridge-activated": "(c) bridge with activation",
    "bridge-mlp": "(c) bridge of two dense layers",
    "al": "squared error alone (Equation 3)",
    "contrast": "contrast to other labels",
}
_COLUMNS = {
    ("sst2", "bilstm"): "SST, LSTM",
    ("ag_news", "bilstm"): "AG News, LSTM",
    ("sst2", "transformer"): "SST, Transformer",
    ("ag_news", "transformer"): "AG News, Transformer",
    ("fashion_mnist", "cnn"): "Fashion-MNIST, CNN",
}
_OWN = {
    "read-last": ("(d) bridge reads the last step", ("bilstm",)),
    "read-mean": ("(d) bridge reads the mean", ("bilstm",)),
    "read-flatten": ("(d) bridge reads the whole map", ("cnn",)),
    "read-mean-max": ("bridge reads mean and maximum", ("bilstm", "transformer")),
    "wide-latents": ("(e) latents 128, 300, 300", ("bilstm", "transformer")),
}


def _cells() -> list[Cell]:
    rows: list[tuple[str, str, tuple[str, ...]]]
    rows = [(arm, _DEFAULT, (model,)) for model, arm in _DEFAULT_ARMS.items()]
    rows += [(arm, heading, ("bilstm", "transformer", "cnn")) for arm, heading in _EVERY.items()]
    rows += [(arm, heading, models) for arm, (heading, models) in _OWN.items()]
    return [
        Cell(
            row=heading,
            column=column,
            run=Run(data=data, model=model, arm=arm),
            read=best_validation,
        )
        for arm, heading, models in rows
        for (data, model), column in _COLUMNS.items()
        if model in models
    ]


TABLE = Table(
    name="variants",
    title="Variants of AL: validation accuracy in percent at full depth",
    cells=tuple(_cells()),
    note="One is chosen by these; test is read of that one and of the default alone.",
    baseline=_DEFAULT,
)

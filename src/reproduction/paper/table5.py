"""Table 5: accuracies of the vanilla CNN under label noise, on CIFAR-10.

Command: ``al reproduce table5 --tier cpu``.
Cost: 72 runs, 3 h 26 min on one core by the cpu tier.
The paper: see `PAPER`. Its training accuracies at noise above 0 are multiples of 1/128: most
likely readings of a single minibatch. Ours are of the whole training set, with the labels that
were trained on, after the last epoch. Nothing stops early here; validation labels are clean.
"""

from __future__ import annotations

from reproduction.paper.cell import (
    Cell,
    Printed,
    Read,
    Table,
    accuracy,
    last_validation,
    training_accuracy,
)
from reproduction.paper.runs import Run

__all__ = ["PAPER", "TABLE", "noisy_run"]

NOISE = (1.0, 0.8, 0.6, 0.4, 0.3, 0.2, 0.1, 0.0)
PAPER = {
    ("training", "bp"): (68.75, 64.84, 82.03, 93.75, 89.84, 96.88, 96.09, 97.48),
    ("training", "al"): (8.59, 41.41, 50.00, 65.63, 74.22, 78.13, 85.94, 96.26),
    ("testing", "bp"): (9.96, 23.25, 39.23, 56.30, 63.60, 71.18, 77.04, 82.64),
    ("testing", "al"): (10.00, 38.23, 64.74, 76.77, 78.70, 82.19, 83.40, 85.16),
}
_NAMES = {"bp": "CNN", "al": "CNN-AL", "contrast": "CNN-AL of this library"}


def noisy_run(arm: str, noise: float) -> Run:
    """Return the run of an arm at a share of random labels."""
    extra = (("label_noise", noise), ("patience", 0), ("watch_training", True))
    return Run(data="cifar10", model="cnn", arm=arm, extra=extra)


def _row(heading: str, arm: str, read: Read, key: str = "") -> list[Cell]:
    printed = PAPER.get((key, arm))
    return [
        Cell(
            row=f"{heading}, {_NAMES[arm]}",
            column=f"{noise:.1f}",
            run=noisy_run(arm, noise),
            read=read,
            paper=None if printed is None else Printed(mean=printed[i]),
        )
        for i, noise in enumerate(NOISE)
    ]


def _cells() -> list[Cell]:
    cells = []
    for arm in _NAMES:
        cells += _row("Training", arm, training_accuracy, "training")
    for arm in _NAMES:
        cells += _row("Testing, best epoch", arm, accuracy(), "testing")
    for arm in _NAMES:
        cells += _row("Validation, last epoch", arm, last_validation)
    return cells


TABLE = Table(
    name="table5",
    title="Table 5: label noise, accuracy in percent",
    cells=tuple(_cells()),
    note="Validation labels are clean, so the best epoch is found by data that a user with noisy "
    "labels would not have; the last epoch shows what comes without them. AL is Equation "
    "3, AL of this library has contrast beside it. The CNN has the paper's network.",
)

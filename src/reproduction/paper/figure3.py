"""Figure 3: accuracy over the epochs under label noise, CNN and CNN-AL on CIFAR-10.

Command: ``al reproduce figure3 --tier cpu``.
Cost: nothing beyond Table 5, whose runs it reads.
The paper draws training accuracy at noise 1.0, where BP climbs to about 69 % and AL stays at
chance, and test accuracy at 0.2 and 0.6, where AL stays up and BP falls. Ours are training and
validation accuracies: the test data are read once, at the end of a run.
"""

from __future__ import annotations

from reproduction.paper.cell import (
    Figure,
    Line,
    Panel,
    ReadCurve,
    training_curve,
    validation_curve,
)
from reproduction.paper.table5 import noisy_run

__all__ = ["FIGURE"]


def _panel(title: str, noise: float, read: ReadCurve) -> Panel:
    lines = (
        Line(label="CNN, BP", run=noisy_run("bp", noise), read=read),
        Line(label="CNN-AL", run=noisy_run("al", noise), read=read),
        Line(label="with contrast", run=noisy_run("contrast", noise), read=read),
    )
    return Panel(title=title, lines=lines)


FIGURE = Figure(
    name="figure3",
    title="Figure 3: label noise over the epochs",
    panels=(
        _panel("Training accuracy, noise 1.0", 1.0, training_curve),
        _panel("Validation accuracy, noise 0.2", 0.2, validation_curve),
        _panel("Validation accuracy, noise 0.6", 0.6, validation_curve),
    ),
    note="Validation labels are clean, as the paper's test labels are.",
)

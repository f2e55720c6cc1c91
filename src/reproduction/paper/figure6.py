"""Figure 6: accuracy over the epochs, CNN and CNN-AL on CIFAR-10 and Fashion-MNIST.

Command: ``al reproduce figure6 --tier cpu``.
Cost: nothing beyond Table 4, whose runs it reads.
The paper draws test accuracy, where CNN-AL rises faster and ends higher on both. Ours is that on
validation data: the test data are read once, at the end of a run.
"""

from __future__ import annotations

from reproduction.paper.cell import ALL_TIERS, Figure, Line, Panel, validation_curve
from reproduction.paper.runs import Run

__all__ = ["FIGURE"]


_LINES = {
    "bp": "CNN, BP",
    "bp-encoders": "BP, AL's encoders",
    "al": "CNN-AL",
    "contrast": "with contrast",
}


def _panel(title: str, data: str) -> Panel:
    lines = tuple(
        Line(label=label, run=Run(data=data, model="cnn", arm=arm), read=validation_curve)
        for arm, label in _LINES.items()
    )
    return Panel(title=title, lines=lines)


FIGURE = Figure(
    name="figure6",
    title="Figure 6: accuracy over the epochs",
    tiers=ALL_TIERS,
    panels=(_panel("CIFAR-10", "cifar10"), _panel("Fashion-MNIST", "fashion_mnist")),
    note="Accuracy on validation data; a curve ends with the run that stopped first.",
)

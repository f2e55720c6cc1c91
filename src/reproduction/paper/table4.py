"""Table 4: best epoch and accuracy of image classification.

Command: ``al reproduce table4 --tier cpu``.
Cost: 48 runs, 4 h 01 min on one core by the cpu tier; some 260 small ones by the resampled tier,
which is for a GPU.
The paper: see `PAPER`; its epochs were looked at in steps of two.
"""

from __future__ import annotations

from reproduction.paper.cell import ALL_TIERS, Cell, Table, chosen_depth_accuracy
from reproduction.paper.epochs import Pair, epoch_cells
from reproduction.paper.runs import Run

__all__ = ["COLUMNS", "PAPER", "TABLE"]

# epoch and accuracy on CIFAR-10, on Fashion-MNIST
PAPER: dict[str, tuple[Pair, Pair]] = {
    "CNN": (((36.8, 4.60), (82.64, 0.61)), ((58.4, 9.32), (91.57, 0.11))),
    "CNN-AL": (((33.6, 4.97), (85.16, 0.11)), ((11.6, 1.67), (92.07, 0.18))),
    "VGG": (((47.2, 7.82), (92.14, 0.17)), ((32.0, 4.34), (94.18, 0.04))),
    "VGG-AL": (((35.6, 2.19), (92.48, 0.15)), ((25.0, 3.83), (93.80, 0.08))),
}
COLUMNS = {"cifar10": "CIFAR-10", "fashion_mnist": "Fashion-MNIST"}
ROWS: tuple[tuple[str, str | None, str, str], ...] = (
    ("CNN, the paper's network", "CNN", "cnn", "bp"),
    ("CNN, the encoders of AL", None, "cnn", "bp-encoders"),
    ("CNN-AL", "CNN-AL", "cnn", "al"),
    ("CNN-AL of this library", None, "cnn", "contrast"),
    ("CNN-AL, as released", "CNN-AL", "cnn", "al-released"),
    ("VGG, the paper's network", "VGG", "vgg", "bp"),
    ("VGG, the encoders of AL", None, "vgg", "bp-encoders"),
    ("VGG-AL", "VGG-AL", "vgg", "al"),
    ("VGG-AL of this library", None, "vgg", "contrast"),
    ("VGG-AL, as released", "VGG-AL", "vgg", "al-released"),
)

_CHOSEN = tuple(
    Cell(
        row=f"{model.upper()}-{title_of_arm}, depth by validation",
        column=f"{title}, accuracy",
        run=Run(data=data, model=model, arm=arm),
        read=chosen_depth_accuracy,
    )
    for model in ("cnn", "vgg")
    for arm, title_of_arm in (("al", "AL"), ("contrast", "AL of this library"))
    for data, title in COLUMNS.items()
)
TABLE = Table(
    name="table4",
    title="Table 4: best epoch and test accuracy, images",
    cells=epoch_cells(ROWS, COLUMNS, PAPER) + _CHOSEN,
    tiers=ALL_TIERS,
    note="The image baselines have no defect that is known beyond choosing the best epoch on "
    "the test data, which is not repeated here. AL is Equation 3; AL of this library has contrast "
    "beside it, which is ours: it also asks which label is the nearest. The VGG of AL has "
    "BatchNorm, as that of backpropagation has; the released one has none. The rows as released, "
    "sigmoids throughout, are for the full tier: the some hundred updates of the cpu tier say "
    "nothing of that code.",
)

"""What a table or a figure is made of: cells, each a figure read from the runs of one arm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from associated_learning.runs.ledger.rows import LedgerRow
from reproduction.paper.runs import Run
from reproduction.paper.tiers import RESAMPLED

__all__ = [
    "ALL_TIERS",
    "TIERS",
    "Cell",
    "Figure",
    "Line",
    "Panel",
    "Printed",
    "Read",
    "ReadCurve",
    "Table",
    "accuracy",
    "associated_loss",
    "best_epoch",
    "best_validation",
    "chosen_depth_accuracy",
    "last_validation",
    "training_accuracy",
    "training_curve",
    "validation_curve",
]

TIERS = ("full", "cpu")  # the better one first
ALL_TIERS = ("full", RESAMPLED, "cpu")  # of what compares the arms that are tuned
Read = Callable[[LedgerRow], float | None]
ReadCurve = Callable[[LedgerRow], list[float]]


@dataclass(frozen=True)
class Printed:
    """What the paper prints.

    Attributes:
        mean: The figure, in the unit of its table.
        sd: Standard deviation; None where the paper gives none.
    """

    mean: float
    sd: float | None = None


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One place in a table.

    Attributes:
        row: Heading of its row.
        column: Heading of its column.
        run: What is trained for it.
        read: Its figure from one row of the ledger, in the unit of the table.
        paper: What the paper prints there; None for what the paper lacks.
        digits: Decimals to show; None for powers of ten.
    """

    row: str
    column: str
    run: Run
    read: Read
    paper: Printed | None = None
    digits: int | None = 2


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table.

    Attributes:
        name: What `al reproduce` calls it.
        title: What it shows.
        cells: From left to right, row by row.
        note: What a reader must know to compare.
        tiers: The tiers that it is made by.
        enough: Number of seeds with which a cell counts as filled.
        baseline: Heading of the row that the others are drawn against; empty for no chart.
    """

    name: str
    title: str
    cells: tuple[Cell, ...]
    note: str = ""
    tiers: tuple[str, ...] = TIERS
    enough: int = 3
    baseline: str = ""

    def runs(self) -> list[Run]:
        """Return what has to be trained, each once, in the order of the cells."""
        return list(dict.fromkeys(cell.run for cell in self.cells))


@dataclass(frozen=True, kw_only=True)
class Line:
    """One curve of a figure: mean over the seeds, epoch by epoch.

    Attributes:
        label: Its name in the legend.
        run: What is trained for it.
        read: The curve from one row of the ledger, as shares.
    """

    label: str
    run: Run
    read: ReadCurve


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One part of a figure.

    Attributes:
        title: What it shows.
        lines: Its curves.
    """

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure; the attributes are those of `Table`, with panels for cells."""

    name: str
    title: str
    panels: tuple[Panel, ...]
    note: str = ""
    tiers: tuple[str, ...] = TIERS

    def lines(self) -> Iterator[Line]:
        """Yield the curves of all panels."""
        for panel in self.panels:
            yield from panel.lines

    def runs(self) -> list[Run]:
        """Return what has to be trained, each once, in the order of the lines."""
        return list(dict.fromkeys(line.run for line in self.lines()))


def accuracy(depth: int = 0) -> Read:
    """Read the test accuracy in percent at a depth; 0 stands for full depth."""

    def read(row: LedgerRow) -> float | None:
        # a network of fewer layers has no such shortcut
        scores = row.result.test_scores
        return 100 * scores[depth - 1] if depth <= len(scores) else None

    return read


def chosen_depth_accuracy(row: LedgerRow) -> float | None:
    """Read the test accuracy in percent at the depth that was best on the validation data."""
    validation = row.result.validation_scores
    return 100 * row.result.test_scores[validation.index(max(validation))]


def best_epoch(row: LedgerRow) -> float | None:
    """Read the epoch that was best on the validation data."""
    return float(row.result.best_epoch)


def best_validation(row: LedgerRow) -> float | None:
    """Read the validation accuracy in percent at full depth in the best epoch."""
    return 100 * row.result.validation_scores[-1]


def last_validation(row: LedgerRow) -> float | None:
    """Read the validation accuracy in percent after the last epoch (its labels are clean)."""
    return 100 * row.result.validation_curve[-1][-1] if row.result.validation_curve else None


def training_accuracy(row: LedgerRow) -> float | None:
    """Read the accuracy in percent on the training data as trained on, after the last epoch."""
    return 100 * row.result.training_curve[-1] if row.result.training_curve else None


def associated_loss(layer: int) -> Read:
    """Read the mean associated loss of a layer, from 1, in the best epoch."""

    def read(row: LedgerRow) -> float | None:
        return row.result.associated[layer - 1] if len(row.result.associated) >= layer else None

    return read


def validation_curve(row: LedgerRow) -> list[float]:
    """Read the validation accuracy at full depth, epoch by epoch."""
    return [scores[-1] for scores in row.result.validation_curve]


def training_curve(row: LedgerRow) -> list[float]:
    """Read the training accuracy, epoch by epoch."""
    return row.result.training_curve

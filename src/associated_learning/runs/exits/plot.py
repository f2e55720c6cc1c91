"""The picture of early exit: accuracy against operations, and against time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from associated_learning.errors import needs_extra
from associated_learning.runs.exits.report import ExitReport, OperatingPoint
from associated_learning.state.files import replaced_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_exits"]

_AL, _EARLY, _BP = "#8aa9c4", "#1f6fb4", "#d1632a"

Cost = Callable[[OperatingPoint], float]


def plot_exits(report: ExitReport, path: Path) -> None:
    """Draw every depth, early exit, and backpropagation where it was compared with."""
    with needs_extra("plots", "a picture"):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

    sizes = list(report.adaptive.milliseconds)
    rows = math.ceil((1 + len(sizes)) / 2)  # two in a row, which a narrow page shows too
    figure = Figure(figsize=(6.0, 0.6 + 3.0 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    first, *others = figure.subplots(rows, 2, sharey=True, squeeze=False).flat
    for axes in others[len(sizes) :]:
        axes.remove()
    _draw(first, report, lambda way: way.flops / 1e6)
    first.set(xlabel="MFLOPs a sample", ylabel="test accuracy, %")
    for axes, size in zip(others, sizes, strict=False):
        _draw(axes, report, partial(_milliseconds, size=size))
        axes.set(xlabel=f"ms a sample, batches of {size}")
    lines, names = first.get_legend_handles_labels()
    figure.legend(lines, names, frameon=False, ncols=2, loc="outside upper center")
    with replaced_file(path) as temporary:
        figure.savefig(temporary, dpi=140)


def _milliseconds(way: OperatingPoint, size: int) -> float:
    return way.milliseconds[size]


def _draw(axes: Axes, report: ExitReport, cost: Cost) -> None:
    _line(axes, report.depths, cost, marker="o", color=_AL, label="each depth")
    _line(axes, report.budgets, cost, marker=".", color=_EARLY, label="early exit")
    _line(axes, [report.adaptive], cost, marker="*", color=_EARLY, label="early exit, by the goal")
    if report.backprop is not None:
        _line(axes, [report.backprop], cost, marker="X", color=_BP, label="backpropagation")
    for depth, way in enumerate(report.depths, start=1):
        at = (cost(way), 100 * way.accuracy)
        axes.annotate(str(depth), at, (0, -11), textcoords="offset points", ha="center", fontsize=7)
    axes.set_xlim(left=0)
    axes.margins(y=0.12)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _line(axes: Axes, ways: Sequence[OperatingPoint], cost: Cost, **style: str) -> None:
    x, y = [cost(way) for way in ways], [100 * way.accuracy for way in ways]
    size = 13 if style["marker"] == "*" else 7
    axes.plot(x, y, markersize=size, **style)  # type: ignore[arg-type]

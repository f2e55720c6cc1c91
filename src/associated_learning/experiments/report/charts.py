"""Charts of the report as images that stand inside the page: data URIs of SVG."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from associated_learning.experiments.paper.cell import Figure, Panel
from associated_learning.experiments.report.cells import RowIndex
from associated_learning.experiments.report.comparison import Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

__all__ = ["curves_chart", "differences_chart"]

BP, AL, GREY = "#c2622d", "#2166a5", "#8a8f98"
_COLOURS = {"ahead": AL, "behind": BP, "level": GREY}


def differences_chart(comparisons: Sequence[Comparison], names: Sequence[str]) -> str:
    """Draw AL less fair BP with its 95 % interval, one line a data set and model.

    Args:
        comparisons: What to draw, from the top.
        names: What to call each.
    """
    canvas = _canvas(7.2, 0.6 + 0.32 * len(comparisons))
    axes = canvas.subplots()
    for place, one in enumerate(comparisons):
        colour = _COLOURS[one.verdict]
        if one.test is not None:
            axes.plot(
                [100 * one.test.low, 100 * one.test.high], [place] * 2, color=colour, linewidth=2.2
            )
        axes.plot(one.difference, place, "o", color=colour, markersize=6)
    axes.axvline(0, color="#333", linewidth=0.8)
    axes.set_yticks(range(len(comparisons)), names)
    axes.invert_yaxis()
    axes.set_xlabel("AL less fair BP, points of test accuracy")
    axes.grid(axis="x", alpha=0.25)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return _uri(canvas)


def curves_chart(figure: Figure, index: RowIndex, tier: str) -> str | None:
    """Draw the panels of a figure by one tier; None where there is no curve yet.

    Lines are means over the seeds, as far as the shortest run goes; bands are their extremes.
    """
    if not any(index.curves(line, tier) for line in figure.lines()):
        return None
    canvas = _canvas(3.5 * len(figure.panels), 2.9)
    for axes, panel in zip(canvas.subplots(1, len(figure.panels)), figure.panels, strict=True):
        _draw_panel(axes, panel, index, tier)
    return _uri(canvas)


def _draw_panel(axes: Axes, panel: Panel, index: RowIndex, tier: str) -> None:
    for line in panel.lines:
        curves = index.curves(line, tier)
        if not curves:
            continue
        columns = list(zip(*curves, strict=False))  # as far as the shortest
        epochs = range(1, len(columns) + 1)
        colour = AL if line.run.arm == "al" else BP
        means = [100 * sum(column) / len(column) for column in columns]
        axes.plot(epochs, means, color=colour, label=f"{line.label} (n = {len(curves)})")
        lows, highs = [100 * min(c) for c in columns], [100 * max(c) for c in columns]
        axes.fill_between(epochs, lows, highs, color=colour, alpha=0.15, linewidth=0)
    axes.set_title(panel.title, fontsize=9)
    axes.set_xlabel("epoch")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)


def _canvas(width: float, height: float) -> Canvas:
    # an empty figure without pyplot, which would open windows
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as New

    canvas = New(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(canvas)
    return canvas


def _uri(canvas: Canvas) -> str:
    from matplotlib import rc_context

    file = io.BytesIO()
    with rc_context({"svg.hashsalt": "report", "font.size": 9}):  # the same bytes every time
        canvas.savefig(file, format="svg", metadata={"Date": None}, transparent=True)
    return "data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode()

"""Charts of the report as images that stand inside the page: data URIs of SVG."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from associated_learning.errors import needs_extra
from reproduction.paper.cell import Figure, Panel, Table
from reproduction.report.cells import PLACES, RowIndex
from reproduction.report.comparison import Comparison
from reproduction.report.statistics import Spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

__all__ = ["curves_chart", "differences_chart", "rows_chart", "svg_of"]

BP, AL, GREY = "#c2622d", "#2f78bd", "#8a8f98"
_INK = "#7b8591"  # read on light and on dark pages
_COLOURS = {"ahead": AL, "behind": BP, "not told apart": GREY, "not yet fair": "#b4b9c1"}
_LINES = {"bp": BP, "bp-encoders": "#e8a33d", "al": AL, "contrast": "#5aa6a0"}
_HEAD = "data:image/svg+xml;base64,"
_FARTHEST = 8.0  # points; what lies beyond is drawn at the edge


def differences_chart(comparisons: Sequence[Comparison], names: Sequence[str]) -> str:
    """Draw AL less the best BP with its 95 % interval, one line a data set and model.

    Small dots are all differences between a run of one and a run of the other.
    """
    canvas = _canvas(7.2, 0.6 + 0.32 * len(comparisons))
    axes = canvas.subplots()
    for place, one in enumerate(comparisons):
        colour = _COLOURS[one.verdict]
        if one.test is not None:
            axes.plot([one.test.low, one.test.high], [place] * 2, color=colour, linewidth=1.6)
        count = len(one.differences)
        axes.plot(one.differences, [place] * count, ".", color=colour, markersize=3, alpha=0.5)
        axes.plot(one.difference, place, "o", color=colour, markersize=6)
    axes.set_yticks(range(len(comparisons)), names)
    axes.set_ylim(len(comparisons) - 0.5, -0.5)
    axes.set_xlabel("AL less the best BP, points of test accuracy")
    _dress_rows(axes)
    return _uri(canvas)


def rows_chart(table: Table, index: RowIndex, tier: str) -> str | None:
    """Draw the rows of a table against its baseline, a panel a column; None where there are none.

    Dots are differences of means over the seeds, bars one standard deviation of both together.
    """
    columns = list(dict.fromkeys(cell.column for cell in table.cells))
    entries = {(c.row, c.column): index.entry(c, tier) for c in table.cells}
    headings = [row for row in dict.fromkeys(c.row for c in table.cells) if row != table.baseline]
    drawn = {
        (row, column): (entry.value, base.value)
        for (row, column), entry in entries.items()
        if entry is not None
        and (base := entries.get((table.baseline, column))) is not None
        and entry.evidence.run.config(tier, 0, PLACES) != base.evidence.run.config(tier, 0, PLACES)
    }
    if not drawn:
        return None
    canvas = _canvas(2.6 + 1.35 * len(columns), 0.7 + 0.26 * len(headings))
    for axes, column in zip(canvas.subplots(1, len(columns), sharey=True), columns, strict=True):
        for place, row in enumerate(headings):
            if (row, column) in drawn:
                _draw_difference(axes, place, *drawn[row, column])
        axes.set_title(column, fontsize=8)
        axes.set_yticks(range(len(headings)), headings)
        axes.set_ylim(len(headings) - 0.5, -0.5)
        _dress_rows(axes)
    canvas.supxlabel(f"points of accuracy against {table.baseline}", fontsize=8, color=_INK)
    return _uri(canvas)


def _draw_difference(axes: Axes, place: int, value: Spread, base: Spread) -> None:
    difference = value.mean - base.mean
    deviation = math.hypot(value.sd or 0.0, base.sd or 0.0)
    colour = GREY if abs(difference) <= deviation else AL if difference > 0 else BP
    shown = max(min(difference, _FARTHEST), -_FARTHEST)
    if shown == difference:
        ends = [max(difference - deviation, -_FARTHEST), min(difference + deviation, _FARTHEST)]
        axes.plot(ends, [place] * 2, color=colour, linewidth=1.8)
    axes.plot(shown, place, "o" if shown == difference else "<", color=colour, markersize=4.5)


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
        colour = _LINES.get(line.run.arm, GREY)
        means = [100 * sum(column) / len(column) for column in columns]
        axes.plot(epochs, means, color=colour, label=f"{line.label} (n = {len(curves)})")
        lows, highs = [100 * min(c) for c in columns], [100 * max(c) for c in columns]
        axes.fill_between(epochs, lows, highs, color=colour, alpha=0.15, linewidth=0)
    axes.set_title(panel.title, fontsize=9)
    axes.set_xlabel("epoch")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    _ink(axes)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8, labelcolor=_INK)


def _dress_rows(axes: Axes) -> None:
    """Give a panel whose rows have names a line at no difference, and no frame."""
    axes.axvline(0, color=_INK, linewidth=0.8)
    axes.grid(axis="x", alpha=0.25)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    _ink(axes)


def _ink(axes: Axes) -> None:
    axes.tick_params(color=_INK, labelcolor=_INK)
    axes.spines[:].set_color(_INK)
    for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
        text.set_color(_INK)


def _canvas(width: float, height: float) -> Canvas:
    # an empty figure without pyplot, which would open windows
    with needs_extra("reproduction", "a chart"):
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure as New

    canvas = New(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(canvas)
    return canvas


def _uri(canvas: Canvas) -> str:
    with needs_extra("reproduction", "a chart"):
        from matplotlib import rc_context

    file = io.BytesIO()
    with rc_context({"svg.hashsalt": "report", "font.size": 9}):  # the same bytes every time
        canvas.savefig(file, format="svg", metadata={"Date": None}, transparent=True)
    return _HEAD + base64.b64encode(file.getvalue()).decode()


def svg_of(uri: str) -> bytes:
    """Return a chart as the contents of an SVG file."""
    return base64.b64decode(uri.removeprefix(_HEAD))

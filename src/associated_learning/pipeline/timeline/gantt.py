"""A picture of what ran: one row a stage, one bar a batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from associated_learning.errors import needs_extra
from associated_learning.pipeline.timeline.summary import TraceSummary
from associated_learning.pipeline.timeline.trace import Span, Trace
from associated_learning.state.files import replaced_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_gantt"]

# A batch keeps its colour on its way through the stages, so that it is seen as a slanted band.
_COLOURS = (
    "#3f76b5", "#2a9d8f", "#5fa052", "#c49a1a", "#e07b39", "#d1495b", "#a8518f", "#6c61b5",
)  # fmt: skip
_TRACK, _INK, _SHADE = "#eef0f3", "#4a4f57", "#9aa3af"
_MOST_BATCHES = 64  # more are drawn in two panels, the first and the last of them
_BAR = 0.78  # height of a bar, of a row's 1
_LARGEST, _SMALLEST = 7.5, 4.5  # points, of the numbers in the bars
_DIGIT = 0.64  # width of a digit over the size of its font


class _Row(NamedTuple):
    name: str
    utilisation: float
    spans: list[Span]  # seconds since the first begin


class _Panel(NamedTuple):
    """A window of time, in seconds since the first begin."""

    begin: float
    end: float

    def shown(self, row: _Row) -> list[Span]:
        return [s for s in row.spans if s.end > self.begin and s.begin < self.end]


def plot_gantt(trace: Trace, path: Path | str, *, title: str = "") -> None:
    """Draw the spans of a trace as a Gantt chart, with fill and drain shaded.

    Of more than 64 batches only the first and the last are shown, in two panels of one scale.
    The figures above and at the right are those of `Trace.summary`, for all batches.

    Args:
        trace: At least one span.
        path: The file to write; its ending names the format, such as ``.png``.
        title: What ran, in place of the number of batches and stages.

    Raises:
        InputError: The trace is empty.
        CheckpointError: The file cannot be written.

    Example:
        >>> import tempfile
        >>> from associated_learning.pipeline.planning.simulation import simulate
        >>> run = simulate([0.02, 0.03], num_batches=6, traced=6)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     plot_gantt(run.trace, Path(folder) / "gantt.png")
        ...     [file.name for file in Path(folder).iterdir()]
        ['gantt.png']
    """
    summary = trace.summary()
    rows = _rows(trace, summary)
    panels = _panels(rows, summary)
    figure, axes = _figure(rows, panels)
    _frame(axes, panels, rows)
    _shade(axes, summary)
    figure.suptitle(
        _headline(trace, summary, title), x=0.012, ha="left", fontsize=11, color="black"
    )
    figure.draw_without_rendering()  # only now are the widths of the panels known
    for ax, panel in zip(axes, panels, strict=True):
        for y, row in enumerate(rows):
            _draw(ax, y, panel.shown(row), panel)
    figure.set_layout_engine("none")  # as laid out above: the numbers must not move anything
    with replaced_file(Path(path)) as temporary:
        figure.savefig(temporary, dpi=150)


def _rows(trace: Trace, summary: TraceSummary) -> list[_Row]:
    start = min(span.begin for span in trace.spans)
    lanes = zip(trace.shifted(-start).lanes().values(), summary.lanes, strict=True)
    return [_Row(lane.name, lane.utilisation, spans) for spans, lane in lanes]


def _panels(rows: Sequence[_Row], summary: TraceSummary) -> list[_Panel]:
    """Return one panel for all batches, or two: the first and the last of them."""
    end = summary.makespan
    longest = max(rows, key=lambda row: len(row.spans)).spans
    half = max(_MOST_BATCHES // 2 - 4, len(rows) + 8)
    if len(longest) > max(_MOST_BATCHES, 2 * half):
        head = max(rows[0].spans[:half][-1].end, 1.3 * summary.fill)
        tail = min(rows[-1].spans[-half:][0].begin, end - 1.3 * summary.drain)
        if head < tail:
            return [_Panel(0.0, head), _Panel(tail, end)]
    return [_Panel(0.0, end)]


def _figure(rows: Sequence[_Row], panels: Sequence[_Panel]) -> tuple[Figure, list[Axes]]:
    with needs_extra("plots", "a picture"):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

    row = 0.44 if len(rows) <= 16 else 0.06 + 0.38 * 16 / len(rows)
    figure = Figure(figsize=(11.5, 1.3 + row * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    widths = [panel.end - panel.begin for panel in panels]
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False, width_ratios=widths)
    return figure, list(axes[0])


def _frame(axes: Sequence[Axes], panels: Sequence[_Panel], rows: Sequence[_Row]) -> None:
    """Set up axes in seconds, name the rows at the left, give their utilisation at the right."""
    size = 9 if len(rows) <= 24 else 6
    shown = sum(panel.end - panel.begin for panel in panels)
    for ax, panel in zip(axes, panels, strict=True):
        for y in range(len(rows)):
            ax.axhspan(y - _BAR / 2, y + _BAR / 2, color=_TRACK, lw=0, zorder=0)
        ax.set(xlim=panel, ylim=(len(rows) - 0.5, -0.5))
        ax.spines[["top", "left", "right"]].set_visible(False)
        ax.spines["bottom"].set_color(_SHADE)
        ax.locator_params(axis="x", nbins=max(2, round(10 * (panel.end - panel.begin) / shown)))
        ax.xaxis.set_major_formatter(lambda seconds, _: _time(seconds, digits=6))
        ax.tick_params(axis="x", colors=_INK, labelsize=8)
        ax.tick_params(axis="y", length=0, labelsize=size)
    axes[0].set_yticks(range(len(rows)), [row.name for row in rows])
    right = axes[-1].get_yaxis_transform()
    for y, row in enumerate(rows):
        text = f"{100 * row.utilisation:.1f} %"
        axes[-1].text(1.012, y, text, transform=right, va="center", fontsize=size, color=_INK)
    _note(axes[-1], 1.012, "busy", "left")
    if len(axes) > 1:
        _break(axes[0], 1.0)
        _break(axes[1], 0.0)
        _note(axes[0], 1.0, "the middle is left out", "right")


def _break(ax: Axes, x: float) -> None:
    """Mark one end of an axis as broken, by a slanted stroke."""
    stroke = [(-1, -1.6), (1, 1.6)]
    ax.plot([x], [0], transform=ax.transAxes, marker=stroke, ms=8, color=_SHADE, clip_on=False)


def _shade(axes: Sequence[Axes], summary: TraceSummary) -> None:
    """Shade filling and draining, and say how long they took."""
    end, fill, drain = summary.makespan, summary.fill, summary.drain
    if fill:
        axes[0].axvspan(0.0, fill, color=_SHADE, alpha=0.28, lw=0, zorder=1)
        _note(axes[0], 0.0, f"fill {_time(fill)}", "left")
    if drain:
        axes[-1].axvspan(end - drain, end, color=_SHADE, alpha=0.28, lw=0, zorder=1)
        _note(axes[-1], 1.0, f"drain {_time(drain)}", "right")


def _note(ax: Axes, x: float, text: str, side: str) -> None:
    above: dict[str, Any] = {"transform": ax.transAxes, "ha": side, "va": "bottom"}
    ax.text(x, 1.01, text, fontsize=8, color=_INK, **above)


def _headline(trace: Trace, summary: TraceSummary, title: str) -> str:
    batches = len({span.step for span in trace.spans})
    replicas = len({span.replica for span in trace.spans})
    stages = len(trace.names)
    shape = f"{stages} stage{'s' * (stages > 1)}" + f" x {replicas}" * (replicas > 1)
    return (
        f"{title or f'{batches} batches on {shape}'}: utilisation "
        f"{100 * summary.utilisation:.1f} %, speed-up {summary.achieved:.2f} of ideally "
        f"{summary.ideal:.2f} ({100 * summary.share:.1f} %)"
    )


def _draw(ax: Axes, y: int, spans: Sequence[Span], panel: _Panel) -> None:
    """Draw one row of a panel: bars, with the numbers of their batches where they fit."""
    if not spans:
        return
    box = ax.get_window_extent()
    scale = 72 / ax.figure.dpi * box.width / (panel.end - panel.begin)  # points per second
    widths = sorted(scale * (span.end - span.begin) for span in spans)
    usual, wide = widths[len(widths) // 2], widths[3 * len(widths) // 4]
    ax.broken_barh(
        [(span.begin, span.end - span.begin) for span in spans],
        (y - _BAR / 2, _BAR),
        facecolors=[_COLOURS[span.step % len(_COLOURS)] for span in spans],
        edgecolors="white",
        linewidth=min(0.6, 0.08 * usual),
        zorder=2,
    )
    height = 72 / ax.figure.dpi * box.height / abs(ax.get_ylim()[1] - ax.get_ylim()[0])
    room = _DIGIT * max(len(str(span.step)) for span in spans) + 0.25
    size = min(_LARGEST, 0.6 * _BAR * height, max(0.95 * usual / room, _SMALLEST))
    if size < _SMALLEST or wide < size * room:
        return  # a number here and there would only puzzle
    for span in spans:
        begin, end = max(span.begin, panel.begin), min(span.end, panel.end)
        if scale * (end - begin) > size * _DIGIT * len(str(span.step)):
            style: dict[str, Any] = {
                "ha": "center",
                "va": "center_baseline",
                "fontsize": size,
                "color": "white",
            }
            ax.text((begin + end) / 2, y, str(span.step), **style)


def _time(seconds: float, digits: int = 3) -> str:
    if seconds == 0 or seconds >= 1:
        return f"{seconds:.{digits}g} s"
    return f"{1e3 * seconds:.{digits}g} ms" if seconds >= 1e-3 else f"{1e6 * seconds:.{digits}g} µs"

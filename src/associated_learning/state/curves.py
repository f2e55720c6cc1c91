"""Curves of training: the validation score of every depth and the loss of every layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from associated_learning.errors import needs_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Epoch", "draw_curves"]

ZOOM = 0.15  # how much of the accuracy below the best is shown

_COLOURS = {"AL": "#1f6fb4", "BP": "#d1632a"}


class Epoch(Protocol):
    """What is drawn of an `EpochRecord`."""

    @property
    def epoch(self) -> int: ...

    @property
    def scores(self) -> Sequence[float]: ...

    @property
    def losses(self) -> Sequence[Mapping[str, float]]: ...


def draw_curves(histories: Mapping[str, Sequence[Epoch]]) -> Figure:
    """Draw validation scores at every depth, and the training losses of every layer.

    Args:
        histories: The records of each run under its name ("AL", "BP").

    Raises:
        InputError: Matplotlib is not installed.
    """
    with needs_extra("plots", "a picture"):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.8))
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    # a layout that is computed would draw everything twice
    figure.subplots_adjust(left=0.08, right=0.985, bottom=0.135, top=0.915, wspace=0.22)
    for number, (name, records) in enumerate(histories.items()):
        colour = _COLOURS.get(name, f"C{number}")
        _draw(left, name, "depth", {r.epoch: r.scores for r in records}, colour)
        losses = {r.epoch: [sum(terms.values()) for terms in r.losses] for r in records}
        _draw(right, name, "layer", losses, colour)
    left.set(title="Validation score by depth", xlabel="epoch")
    right.set(title="Training loss of each layer", xlabel="epoch", yscale="log")
    scores = [score for records in histories.values() for r in records for score in r.scores]
    accuracies = bool(scores) and min(scores) >= 0
    if accuracies and left.get_ylim()[0] < max(scores) - ZOOM:
        left.set_ylim(bottom=max(scores) - ZOOM)  # the first epochs would flatten all that follows
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8)
    return figure


def _draw(
    axes: Axes, name: str, part: str, values: Mapping[int, Sequence[float]], colour: str
) -> None:
    """Draw a line for each depth or layer; ``values`` are theirs by epoch."""
    count = max(map(len, values.values()), default=0)
    for number in range(1, count + 1):
        label = name if count == 1 else f"{name} {part} {number}"
        # the network may have grown to it
        own = {epoch: found[number - 1] for epoch, found in values.items() if len(found) >= number}
        shade = 0.35 + 0.65 * number / count
        axes.plot(list(own), list(own.values()), color=colour, alpha=shade, label=label)

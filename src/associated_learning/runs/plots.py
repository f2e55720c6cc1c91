"""Pictures of runs: validation score and losses over the epochs."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from associated_learning.errors import needs_extra
from associated_learning.state.files import replaced_file
from associated_learning.state.history import EpochRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["can_plot", "plot_curves"]

ZOOM = 0.15  # how much of the accuracy below the best is shown

_COLOURS = {"AL": "#1f6fb4", "BP": "#d1632a"}


def can_plot() -> bool:
    """Return whether pictures can be drawn: runs do without them where matplotlib is missing."""
    return importlib.util.find_spec("matplotlib") is not None


def plot_curves(histories: Mapping[str, Sequence[EpochRecord]], path: Path) -> None:
    """Draw validation scores at every depth, and the training losses of every layer.

    Args:
        histories: The records of each run under its name ("AL", "BP").
        path: The PNG file to write.
    """
    with needs_extra("plots", "a picture"):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for number, (name, records) in enumerate(histories.items()):
        colour = _COLOURS.get(name, f"C{number}")
        _draw_scores(left, name, records, colour)
        _draw_losses(right, name, records, colour)
    left.set(title="Validation accuracy by depth", xlabel="epoch")
    right.set(title="Training loss of each layer", xlabel="epoch", yscale="log")
    best = max((max(r.scores) for rs in histories.values() for r in rs if r.scores), default=1.0)
    if left.get_ylim()[0] < best - ZOOM:
        left.set_ylim(bottom=best - ZOOM)  # the first epochs would flatten all that follows
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    with replaced_file(path) as temporary:
        figure.savefig(temporary, dpi=140)


def _draw_scores(axes: Axes, name: str, records: Sequence[EpochRecord], colour: str) -> None:
    depths = max((len(record.scores) for record in records), default=0)
    for depth in range(1, depths + 1):
        label = name if depths == 1 else f"{name} depth {depth}"
        since = [record for record in records if len(record.scores) >= depth]  # it may have grown
        epochs = [record.epoch for record in since]
        scores = [record.scores[depth - 1] for record in since]
        axes.plot(epochs, scores, color=colour, alpha=_shade(depth, depths), label=label)


def _draw_losses(axes: Axes, name: str, records: Sequence[EpochRecord], colour: str) -> None:
    blocks = max((len(record.losses) for record in records), default=0)
    for block in range(1, blocks + 1):
        label = name if blocks == 1 else f"{name} layer {block}"
        since = [record for record in records if len(record.losses) >= block]
        epochs = [record.epoch for record in since]
        losses = [sum(record.losses[block - 1].values()) for record in since]
        axes.plot(epochs, losses, color=colour, alpha=_shade(block, blocks), label=label)


def _shade(number: int, count: int) -> float:
    return 0.35 + 0.65 * number / count

"""Pictures of runs: validation score and losses over the epochs."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path

from associated_learning.state.curves import draw_curves
from associated_learning.state.files import replaced_file
from associated_learning.state.training_state import EpochRecord

__all__ = ["can_plot", "plot_curves"]


def can_plot() -> bool:
    """Return whether pictures can be drawn: runs do without them where matplotlib is missing."""
    return importlib.util.find_spec("matplotlib") is not None


def plot_curves(histories: Mapping[str, Sequence[EpochRecord]], path: Path) -> None:
    """Draw the curves of runs into a file; see `draw_curves`."""
    figure = draw_curves(histories)
    with replaced_file(path) as temporary:
        figure.savefig(temporary, dpi=140)

"""Pictures for light and dark pages: no background, and an ink that is read on both.

``python benchmarks/pictures.py FILE.png`` recolours one that was drawn before.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["INK", "canvas", "save"]

INK = "#7b8591"  # contrast 3.7 to white and 4.6 to the dark of GitHub and of the docs
_STYLE = {
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor"), INK),
    **dict.fromkeys(("xtick.color", "ytick.color", "grid.color"), INK),
    "axes.facecolor": "none",
    "font.size": 9,
    "svg.hashsalt": "docs",  # the same bytes every time
}


def canvas(rows: int = 1, *, width: float = 4.8, height: float = 3.2) -> tuple[Figure, list[Any]]:
    """Return a figure with panels one below the other, as wide as a telephone shows."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams.update(_STYLE)
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        rows, 1, figsize=(width, rows * height), layout="constrained", squeeze=False
    )
    for one in axes.flat:
        one.spines[["top", "right"]].set_visible(False)
        one.grid(alpha=0.3)
    return figure, list(axes.flat)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as SVG or PNG, by the ending of its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dated = {"metadata": {"Date": None}} if path.suffix == ".svg" else {"dpi": 200}
    figure.savefig(path, transparent=True, **dated)  # type: ignore[arg-type]


def recolour(path: Path) -> None:
    """Take the white background from a PNG that was drawn before, and make its black `INK`."""
    import numpy as np
    from PIL import Image

    pixels = np.asarray(Image.open(path).convert("RGB")).astype(float) / 255
    ink = np.array([int(INK[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    grey = np.ptp(pixels, axis=2, keepdims=True) < 0.1  # all else is a colour, and stays
    alpha = np.where(grey, 1 - pixels.mean(2, keepdims=True), 1.0)
    made = np.concatenate([np.where(grey, ink, pixels), alpha], 2)
    Image.fromarray(np.rint(255 * made.clip(0, 1)).astype(np.uint8)).save(path, optimize=True)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        recolour(Path(name))

"""Draw what each local loss reaches, from the rows of ``results/benchmarks.jsonl``.

Run: ``python benchmarks/local_losses/picture.py``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # pictures.py serves several

from pictures import canvas, save

ROOT = Path(__file__).parents[2]
IMAGE = ROOT / "docs" / "images" / "local_losses.svg"
TITLES = {"images": "CIFAR-10, 2,000 images", "texts": "SST-2, 3,000 sentences"}
# what is drawn, in this order from above
NAMES = {
    "bp": "BP, same encoders",
    "bp, without the top": "BP without the top layer",
    "squared": "Equation 3",
    "squared, smoothing": "Equation 3, label smoothing",
    "squared, pairs": "Equation 3, two encoders a layer",
    "squared, block": "Equation 3, lookahead",
    "squared, overlap": "Equation 3, windows of two",
    "contrast": "contrast",
    "contrast, pairs": "contrast, two encoders a layer",
    "contrast, overlap": "contrast, windows of two",
    "contrast, etf": "contrast, fixed prototypes",
    "ce": "cross-entropy at each layer",
    "ce, pairs": "cross-entropy, two encoders a layer",
    "ce, block": "cross-entropy, lookahead",
    "ce, frozen": "cross-entropy, copies frozen",
    "ce, uniform": "cross-entropy, AugLocal's two copies",
    "ce, momentum 0": "cross-entropy, copies that follow",
    "ce, overlap": "cross-entropy, windows of two",
    "ce, input 1": "cross-entropy, InfoPro",
    "predsim": "predsim",
    "scpl": "SCPL",
}
MARKS = {"full": ("full depth", "o", "#2f7fc1"), "single": ("best exit", "D", "#d1632a"),
         "ensemble": ("ensemble", "|", "#8a6d1f")}  # fmt: skip


def results(ledger: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the last figures of each method, by task."""
    found: dict[str, dict[str, dict[str, Any]]] = {task: {} for task in TITLES}
    for line in ledger.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["benchmark"] == "local_losses/main.py":
            of_task = found[row["result"]["task"]]
            of_task |= {name: one for name, one in row["result"].items() if name in NAMES}
    return found


def draw(axes: Any, task: str, found: dict[str, dict[str, Any]]) -> None:
    """Draw one task: a line for each method, accuracy from left to right."""
    names = [name for name in NAMES if name in found]
    for key, (label, mark, colour) in MARKS.items():
        shown = [name for name in names if key == "full" or not name.startswith("bp")]
        axes.errorbar(
            [found[name][key] for name in shown],
            [names.index(name) for name in shown],
            xerr=[found[name][f"{key}_deviation"] for name in shown] if key == "full" else None,
            fmt=mark, color=colour, label=label, markersize=9 if mark == "|" else 4, elinewidth=1,
        )  # fmt: skip
    axes.axvline(found["bp"]["full"], color=MARKS["full"][2], linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(names)), [NAMES[name] for name in names])
    axes.invert_yaxis()
    axes.set_title(f"{TITLES[task]}: test accuracy, %", loc="left", fontsize=9)


def main() -> None:
    """Write the picture."""
    found = results(ROOT / "results" / "benchmarks.jsonl")
    figure, panels = canvas(len(TITLES), width=5.6, height=5.2)
    for axes, (task, of_task) in zip(panels, found.items(), strict=True):
        draw(axes, task, of_task)
    panels[0].legend(frameon=False, loc="lower right", fontsize=8)
    save(figure, IMAGE)


if __name__ == "__main__":
    main()

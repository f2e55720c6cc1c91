"""Tables that the commands show."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from associated_learning.inference.parameters import count_parameters
from associated_learning.network import Network
from associated_learning.runs.plots import can_plot

__all__ = ["command", "console", "exit_names", "scores_table", "show_no_picture"]

console = Console(emoji=False)  # texts of users may hold :words: between colons


def command() -> str:
    """Return how the user can call this program: "al", or its path where that finds another."""
    program = Path(sys.argv[0])
    if program.name != "al" or not program.exists():
        return "al"
    on_path = shutil.which("al")
    if on_path is not None and Path(on_path).samefile(program):
        return "al"
    return os.path.relpath(program)


def show_no_picture() -> None:
    """Say what the picture of a run's curves needs, where it could not be drawn."""
    if not can_plot():
        console.print(
            "There is no picture of the curves, because matplotlib is not installed: "
            "pip install 'associated_learning[plots]'",
            markup=False,
            soft_wrap=True,
        )


def exit_names(net: Network) -> list[str]:
    """Return what to call each depth: "1", "2", ..., "3 (full)"."""
    count = net.num_layers
    return [f"{depth}" + (" (full)" if depth == count else "") for depth in range(1, count + 1)]


def scores_table(net: Network, columns: Mapping[str, Sequence[float]]) -> Table:
    """Return a table of scores by depth, with the parameters that each depth needs.

    Args:
        net: The network.
        columns: Under each heading one score for every depth.
    """
    table = Table()
    for heading in ("depth", *columns, "parameters"):
        table.add_column(heading, justify="right")
    counts = count_parameters(net).inference
    for i, name in enumerate(exit_names(net)):
        scores = [f"{values[i]:.4f}" for values in columns.values()]
        table.add_row(name, *scores, f"{counts[i]:,}")
    return table

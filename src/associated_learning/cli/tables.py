"""Tables that the commands show."""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from associated_learning.inference.parameters import count_parameters
from associated_learning.network import Network
from associated_learning.runs.plots import can_plot
from associated_learning.runs.printable import escape

__all__ = [
    "command",
    "console",
    "exit_names",
    "say",
    "scores_table",
    "show_next",
    "show_no_picture",
    "show_table",
    "shown_score",
]

console = Console(emoji=False, highlight=False)  # texts of users may hold :words: between colons


def command() -> str:
    """Return how the user can call this program: "al", or its path where that finds another."""
    program = Path(sys.argv[0])
    if program.name != "al" or not program.exists():
        return "al"
    on_path = shutil.which("al")
    if on_path is not None and Path(on_path).samefile(program):
        return "al"
    return os.path.relpath(program)


def say(text: str, *, to: Console = console) -> None:
    """Print rich markup: in a terminal wrapped between words, elsewhere in lines as they are."""
    to.print(text, soft_wrap=not to.is_terminal, highlight=False)


def show_no_picture() -> None:
    """Say what the picture of a run's curves needs, where it could not be drawn."""
    if not can_plot():
        console.print(
            "There is no picture of the curves, because matplotlib is not installed: "
            "pip install 'associated_learning[plots]'",
            markup=False,
            soft_wrap=True,
        )


def show_next(folder: Path, commands: Iterable[str]) -> None:
    """Say where a run is and what can be done with it; ``RUN`` in a command is its folder."""
    run = escape(str(folder))
    console.print(f"The run is in {run}. Next:", soft_wrap=True)
    for words in commands:
        console.print(f"  {escape(command())} {words.replace('RUN', run)}", soft_wrap=True)


_IN_UNITS = ("MAE", "RMSE", "perplexity")  # of any size, unlike shares


def shown_score(heading: str, value: float) -> str:
    """Return a score as tables show it: four decimals, or three digits where it has a unit.

    Example:
        >>> shown_score("validation", 0.5), shown_score("MAE", 0.01234), shown_score("MAE", 1234.5)
        ('0.5000', '0.0123', '1,234')
        >>> shown_score("test perplexity", 23.456)
        '23.5'
    """
    if heading.rpartition(" ")[2] not in _IN_UNITS or not math.isfinite(value):
        return f"{value:.4f}"
    if value == 0 or abs(value) < 1e-4:
        return f"{value:.3g}"
    return f"{value:,.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def show_table(table: Table) -> None:
    """Print a table without a wrapped or cut word: if it is too wide row by row.

    Args:
        table: It may get narrower borders, and headings of several lines.
    """
    if not _fits(table):
        table.box = box.SIMPLE
        table.pad_edge, table.collapse_padding = False, True
    if not _fits(table):
        for column in table.columns:
            column.header = str(column.header).replace(" ", "\n")
    if _fits(table):
        console.print(table)
        return
    if table.title:
        console.print(table.title)
    headings = [str(column.header).replace("\n", " ") for column in table.columns]
    for first, *others in zip(*(column.cells for column in table.columns), strict=True):
        console.print(_pair(headings[0], first), soft_wrap=True)
        cells = zip(headings[1:], others, strict=True)
        for line in _lines([_pair(heading, cell) for heading, cell in cells if str(cell)]):
            console.print(line, soft_wrap=True)


def _pair(heading: str, cell: object) -> Text:
    return Text(f"{heading} ").append_text(
        cell if isinstance(cell, Text) else Text.from_markup(str(cell))
    )


def _lines(parts: Sequence[Text]) -> Iterator[Text]:
    """Yield parts with commas between them, as many on a line as it has room for."""
    line = Text("  ")
    for i, part in enumerate(parts):
        part = part + ("," if i + 1 < len(parts) else "")
        if len(line) > 2 and len(line) + 1 + len(part) > console.width:
            yield line
            line = Text("  ")
        line += part if len(line) == 2 else Text(" ") + part
    yield line


def _fits(table: Table) -> bool:
    unbounded = console.options.update(width=10_000)
    return Measurement.get(console, unbounded, table).maximum <= console.width


def exit_names(net: Network) -> list[str]:
    """Return what to call each depth: "1", "2", ..., "3 (full)"."""
    count = net.num_layers
    return [f"{depth}" + (" (full)" if depth == count else "") for depth in range(1, count + 1)]


def scores_table(net: Network, columns: Mapping[str, Sequence[float]]) -> Table:
    """Return a table of scores by depth under each heading, with the parameters a depth needs."""
    table = Table()
    for heading in ("depth", *columns, "parameters"):
        table.add_column(heading, justify="right")
    counts = count_parameters(net).inference
    for i, name in enumerate(exit_names(net)):
        scores = [shown_score(heading, values[i]) for heading, values in columns.items()]
        table.add_row(name, *scores, f"{counts[i]:,}")
    return table

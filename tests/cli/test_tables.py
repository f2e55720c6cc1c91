"""Tables and lines of the commands in narrow terminals: no word is cut, nothing is left out."""

from __future__ import annotations

import re

import pytest
from rich.console import Console
from rich.table import Table

from associated_learning.cli import tables

LONG = "a_rather_long_name_of_prices-transformer-al-grown-0"
ROWS = [
    [LONG, "transformer, al", "20", "label accuracy", "0.9731"],
    ["b", "mlp, bp", "3", "R²", "-1"],
]
HEADINGS = ("run", "network", "epochs", "score", "validation balanced_accuracy")


@pytest.mark.parametrize("width", [200, 110, 80, 60, 52])
def test_no_word_of_a_table_is_cut_at_any_width(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Console(width=width, record=True)
    monkeypatch.setattr(tables, "console", console)
    table = Table(*HEADINGS)
    for row in ROWS:
        table.add_row(*row)
    tables.show_table(table)
    shown = console.export_text()
    assert all(len(line.rstrip()) <= max(width, len(f"run {LONG}")) for line in shown.splitlines())
    words = set(re.findall(r"[\w²,.-]+", shown.replace(",", " ")))
    assert {
        w for row in [HEADINGS, *ROWS] for c in row for w in c.replace(",", " ").split()
    } <= words


def test_lines_wrap_between_words_in_a_terminal_alone() -> None:
    text = "word " * 30
    for terminal in (True, False):
        console = Console(width=40, record=True, force_terminal=terminal)
        tables.say(text, to=console)
        lines = [line for line in console.export_text().splitlines() if line]
        assert all(len(line) <= 40 and set(line.split()) == {"word"} for line in lines) == terminal

"""``al report``: the paper's tables and figures, filled from the ledger."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from associated_learning.cli.tables import console
from associated_learning.runs.ledger.rows import read_rows
from associated_learning.runs.printable import escape
from associated_learning.state.files import replaced_file

__all__ = ["report"]


def report(
    *,
    ledger: Annotated[
        str, typer.Option(metavar="FILE", help="The ledger.")
    ] = "results/ledger.jsonl",
    html: Annotated[
        str, typer.Option(metavar="FILE", help="The page, which needs no other file.")
    ] = "results/report.html",
    markdown: Annotated[
        str, typer.Option(metavar="FILE", help="The page of the documentation.")
    ] = "docs/tables.md",
    images: Annotated[
        str, typer.Option(metavar="FOLDER", help="Its charts, for the documentation.")
    ] = "docs/images",
    pages: Annotated[
        str,
        typer.Option(
            metavar="FOLDER",
            help="The checkout in whose README.md, docs/results.md and docs/study.md the tables "
            "between marks are filled.",
        ),
    ] = ".",
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Write nothing; print one line of JSON: how many values the paper prints and each "
            "tier fills, how AL stands, and which comparisons break a rule of fairness.",
        ),
    ] = False,
) -> None:
    """Fill the paper's tables and figures from the ledger, with statistics and what is missing.

    Examples:
        al report

        al report --check
    """
    # here, because charts take a second to import
    from reproduction.report.charts import svg_of
    from reproduction.report.content import make_content
    from reproduction.report.page import render_html
    from reproduction.report.pages import PAGES, parts_of, refreshed
    from reproduction.report.text import render_markdown

    content = make_content(read_rows(Path(ledger)))
    if check:
        print(json.dumps(asdict(content.counts)))
        return
    files = {
        Path(html): render_html(content).encode(),
        Path(markdown): render_markdown(content).encode(),
        **{Path(images, f"{name}.svg"): svg_of(chart) for name, chart in content.charts.items()},
    }
    parts = parts_of(content)
    for page in filter(Path.is_file, (Path(pages, name) for name in PAGES)):
        files[page] = refreshed(page.read_text(encoding="utf-8"), parts).encode()
    for path, contents in files.items():
        with replaced_file(path) as temporary:
            temporary.write_bytes(contents)
        console.print(f"wrote {escape(str(path))}", soft_wrap=True)

"""What the report says, as plain values that both of its forms render."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from associated_learning.runs.ledger.rows import LedgerRow
from reproduction.campaign.rates import tunes
from reproduction.paper import variants
from reproduction.paper.arms import ARMS
from reproduction.paper.catalogue import EXHIBITS
from reproduction.paper.cell import Cell, Figure, Printed, Table
from reproduction.paper.runs import Run
from reproduction.paper.tiers import RESAMPLED
from reproduction.report.cells import REPORTED, Entry, RowIndex
from reproduction.report.charts import curves_chart, rows_chart
from reproduction.report.choice import Choice, choices
from reproduction.report.comparison import HEADLINE, LIBRARY, compare_all
from reproduction.report.costs import cost_lines
from reproduction.report.counts import Counts, count_cells
from reproduction.report.robustness import harder_tests, robustness_lines, robustness_told
from reproduction.report.standing import Standing, make_standing
from reproduction.report.statistics import Spread
from reproduction.report.tuned import tuned_lines

__all__ = ["Content", "FilledCell", "Section", "make_content"]


@dataclass(frozen=True, kw_only=True)
class FilledCell:
    """One place of a table, ready to print.

    Attributes:
        paper: What the paper prints; empty if nothing.
        ours: For each tier that has runs: its name, the figure, what it rests on, and whether
            that is complete.
    """

    paper: str
    ours: tuple[tuple[str, str, str, bool], ...]


@dataclass(frozen=True, kw_only=True)
class Section:
    """A table or figure.

    Attributes:
        name: What `al reproduce` calls it.
        title: What it shows.
        note: What a reader must know.
        columns: Headings of the columns.
        rows: Heading and places of each row; None where the table has no such cell.
        charts: Tier and image of each chart.
        missing: For each tier, how many cells lack runs.
    """

    name: str
    title: str
    note: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, tuple[FilledCell | None, ...]], ...] = ()
    charts: tuple[tuple[str, str], ...] = ()
    missing: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Content:
    """The report.

    Attributes:
        counts: See `Counts`.
        standings: One for each tier that has a comparison.
        sections: The paper's tables and figures, then those beyond it.
        choices: For each column of the study, the variant that validation data choose: column,
            variant, its validation and test accuracy, test accuracy of the default, as texts.
        tuned: For each arm of the tuned tier what was tried and chosen; see `TUNING`.
        robustness: For each comparison of that tier the harder tests; see `ROBUSTNESS`.
        robust: How many leads hold under them, in words.
        costs: What its training took; see `COSTS`.
        rows: Number of rows of the ledger.
    """

    counts: Counts
    standings: tuple[Standing, ...]
    sections: tuple[Section, ...]
    choices: tuple[tuple[str, ...], ...]
    tuned: tuple[tuple[str, ...], ...]
    robustness: tuple[tuple[str, ...], ...]
    robust: str
    costs: tuple[tuple[str, ...], ...]
    rows: int

    @property
    def charts(self) -> dict[str, str]:
        """All charts by a name for a file, such as ``standing-al-cpu`` or ``variants-cpu``."""
        found = {f"standing-{one.arm}-{one.tier}": one.chart for one in self.standings}
        for section in self.sections:
            found |= {f"{section.name}-{tier}": chart for tier, chart in section.charts}
        return found

    def section(self, name: str) -> Section:
        """Return the table or figure of that name."""
        return next(section for section in self.sections if section.name == name)


def make_content(rows: Sequence[LedgerRow]) -> Content:
    """Return what a ledger has to say."""
    index = RowIndex(rows)
    compared = {
        (tier, arm): compare_all(index, tier, arm)
        for arm in (HEADLINE, LIBRARY)
        for tier in REPORTED
    }
    standings = [make_standing(found, *key) for key, found in compared.items()]
    of_tuned = [one for (tier, _), found in compared.items() if tier == RESAMPLED for one in found]
    tests = harder_tests(of_tuned)
    return Content(
        counts=count_cells(index, compared),
        standings=tuple(one for one in standings if one is not None),
        sections=tuple(
            _figure(exhibit, index) if isinstance(exhibit, Figure) else _table(exhibit, index)
            for exhibit in EXHIBITS.values()
        ),
        choices=tuple(map(_choice, choices(variants.TABLE, index, "cpu"))),
        tuned=tuned_lines(index),
        robustness=robustness_lines(tests),
        robust=robustness_told(tests),
        costs=cost_lines(index, of_tuned, RESAMPLED),
        rows=len(rows),
    )


def _choice(one: Choice) -> tuple[str, ...]:
    figures = (one.validation, one.test, one.default)
    return one.column, one.chosen, *(figure.text(2) for figure in figures)


def _table(table: Table, index: RowIndex) -> Section:
    columns = tuple(dict.fromkeys(cell.column for cell in table.cells))
    headings = dict.fromkeys(cell.row for cell in table.cells)
    cells = {(cell.row, cell.column): cell for cell in table.cells}
    filled = {
        key: [(tier, index.entry(cell, tier)) for tier in table.tiers]
        for key, cell in cells.items()
    }
    rows = tuple(
        (
            row,
            tuple(
                _place(cells[row, column], filled[row, column], table.enough)
                if (row, column) in cells
                else None
                for column in columns
            ),
        )
        for row in headings
    )
    missing = tuple(
        (
            tier,
            sum(
                not _fills(dict(entries)[tier], table.enough)
                for key, entries in filled.items()
                if _is_made(cells[key].run, tier)
            ),
        )
        for tier in table.tiers
    )
    return Section(
        name=table.name,
        title=table.title,
        note=table.note,
        columns=columns,
        rows=rows,
        charts=_drawn([(tier, rows_chart(table, index, tier)) for tier in table.tiers]),
        missing=missing,
    )


def _is_made(run: Run, tier: str) -> bool:
    return tunes(run) if tier == RESAMPLED else ARMS[run.arm].is_of(tier)


def _drawn(charts: Sequence[tuple[str, str | None]]) -> tuple[tuple[str, str], ...]:
    return tuple((tier, chart) for tier, chart in charts if chart is not None)


def _figure(figure: Figure, index: RowIndex) -> Section:
    drawn = [(tier, curves_chart(figure, index, tier)) for tier in figure.tiers]
    missing = tuple(
        (tier, sum(not index.curves(line, tier) for line in figure.lines()))
        for tier in figure.tiers
    )
    return Section(
        name=figure.name,
        title=figure.title,
        note=figure.note,
        charts=_drawn(drawn),
        missing=missing,
    )


def _fills(entry: Entry | None, enough: int) -> bool:
    return entry is not None and entry.evidence.fills(enough)


def _place(cell: Cell, entries: Sequence[tuple[str, Entry | None]], enough: int) -> FilledCell:
    ours = [
        (tier, entry.value.text(cell.digits), entry.evidence.rests_on, _fills(entry, enough))
        for tier, entry in entries
        if entry is not None
    ]
    return FilledCell(paper=_printed(cell.paper, cell.digits), ours=tuple(ours))


def _printed(paper: Printed | None, digits: int | None) -> str:
    return "" if paper is None else Spread(paper.mean, paper.sd, 0).text(digits)

"""What the report says, as plain values that both of its forms render."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from associated_learning.runs.ledger.rows import LedgerRow
from associated_learning.runs.networks.families import IMAGE_MODELS, TEXT_MODELS
from reproduction.campaign.rates import tunes
from reproduction.paper import variants
from reproduction.paper.arms import ARMS
from reproduction.paper.catalogue import EXHIBITS
from reproduction.paper.cell import Cell, Figure, Printed, Table
from reproduction.paper.tiers import RESAMPLED
from reproduction.report.cells import REPORTED, Entry, RowIndex
from reproduction.report.charts import (
    curves_chart,
    differences_chart,
    rows_chart,
)
from reproduction.report.choice import Choice, choices
from reproduction.report.comparison import (
    HEADLINE,
    LIBRARY,
    Comparison,
    compare_all,
    signed_rank,
)
from reproduction.report.counts import VERDICTS, Counts, count_cells
from reproduction.report.names import name_of
from reproduction.report.statistics import Spread
from reproduction.report.tuned import tuned_lines

__all__ = ["Content", "FilledCell", "Section", "Standing", "make_content"]


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
class Standing:
    """A form of AL against the better backpropagation by one tier.

    Attributes:
        tier: The tier.
        arm: Name of the form of AL.
        title: What the form of AL is called.
        chart: Image of the differences.
        lines: Data set and model, AL, BP and which one, difference, interval over seeds and over
            test samples, corrected p, effect size, best epochs, settings tried, n and verdict of
            each comparison, as texts.
        verdicts: How many comparisons have each verdict.
        signed_rank: What Wilcoxon's signed-rank test says of texts and of images, as texts.
        broken: Data set and model, and the rules of a fair comparison that it breaks.
    """

    tier: str
    arm: str
    title: str
    chart: str
    lines: tuple[tuple[str, ...], ...]
    verdicts: tuple[tuple[str, int], ...]
    signed_rank: str
    broken: tuple[tuple[str, tuple[str, ...]], ...]


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
        rows: Number of rows of the ledger.
    """

    counts: Counts
    standings: tuple[Standing, ...]
    sections: tuple[Section, ...]
    choices: tuple[tuple[str, ...], ...]
    tuned: tuple[tuple[str, ...], ...]
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
    standings = [_standing(found, *key) for key, found in compared.items()]
    return Content(
        counts=count_cells(index, compared),
        standings=tuple(one for one in standings if one is not None),
        sections=tuple(
            _figure(exhibit, index) if isinstance(exhibit, Figure) else _table(exhibit, index)
            for exhibit in EXHIBITS.values()
        ),
        choices=tuple(map(_choice, choices(variants.TABLE, index, "cpu"))),
        tuned=tuned_lines(index),
        rows=len(rows),
    )


def _choice(one: Choice) -> tuple[str, ...]:
    figures = (one.validation, one.test, one.default)
    return one.column, one.chosen, *(_spread(figure, 2) for figure in figures)


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
                if tier != RESAMPLED or tunes(cells[key].run)
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
        (tier, _spread(entry.value, cell.digits), entry.evidence.rests_on, _fills(entry, enough))
        for tier, entry in entries
        if entry is not None
    ]
    return FilledCell(paper=_printed(cell.paper, cell.digits), ours=tuple(ours))


def _number(value: float, digits: int | None) -> str:
    return f"{value:.2e}" if digits is None else f"{value:.{digits}f}"


def _spread(value: Spread, digits: int | None) -> str:
    mean = _number(value.mean, digits)
    return mean if value.sd is None else f"{mean} ± {_number(value.sd, digits)}"


def _printed(paper: Printed | None, digits: int | None) -> str:
    return "" if paper is None else _spread(Spread(paper.mean, paper.sd, 0), digits)


def _standing(comparisons: Sequence[Comparison], tier: str, arm: str) -> Standing | None:
    if not comparisons:
        return None
    names = [name_of(one.data, one.model) for one in comparisons]
    verdicts = [one.verdict for one in comparisons]
    return Standing(
        tier=tier,
        arm=arm,
        title=ARMS[arm].title,
        chart=differences_chart(comparisons, names),
        lines=tuple(map(_line, names, comparisons)),
        verdicts=tuple((verdict, verdicts.count(verdict)) for verdict in VERDICTS),
        signed_rank=_signed_ranks(comparisons),
        broken=tuple((name, one.broken) for name, one in zip(names, comparisons, strict=True)),
    )


def _signed_ranks(comparisons: Sequence[Comparison]) -> str:
    told = []
    for kind, models in (("texts", TEXT_MODELS), ("images", IMAGE_MODELS)):
        differences = [one.difference for one in comparisons if one.model in models]
        p = signed_rank(differences)
        told.append(f"{kind} {'too few' if p is None else f'p = {p:.3f}'} ({len(differences)})")
    return ", ".join(told)


def _line(name: str, one: Comparison) -> tuple[str, ...]:
    return (
        name,
        _spread(one.ours, 2),
        _spread(one.theirs, 2),
        ARMS[one.baseline].title,
        f"{one.difference:+.2f}",
        "" if one.test is None else f"{one.test.low:+.2f} to {one.test.high:+.2f}",
        ""
        if one.samples is None
        else f"{100 * one.samples.low:+.2f} to {100 * one.samples.high:+.2f}",
        "" if one.corrected is None else f"{one.corrected:.3f}",
        f"{one.effect:+.3f}",
        f"{one.epochs[0].mean:.1f}; {one.epochs[1].mean:.1f}",
        "; ".join(map(str, one.tried)),
        f"{one.ours.n}; {one.theirs.n}",
        f"{one.verdict} (a hint)" if one.hint and not one.broken else one.verdict,
    )

"""How much of the paper is filled, and how AL stands against fair BP: four numbers."""

from __future__ import annotations

from dataclasses import dataclass

from reproduction.paper.catalogue import EXHIBITS, PAPER_EXHIBITS
from reproduction.paper.cell import Figure
from reproduction.paper.runs import Run
from reproduction.report.cells import ENOUGH, REPORTED, RowIndex
from reproduction.report.comparison import compare_all

__all__ = ["Counts", "count_cells"]


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How far the reproduction is.

    Attributes:
        cells: Cells of the paper's tables and lines of its figures.
        cpu: Those that the cpu tier fills, by three seeds or more.
        full: Those that the full tier fills, likewise and with all of the paper's data.
        comparisons: Data sets and models on which AL and fair BP are compared.
        al_at_least_fair_bp: Those where the mean accuracy of AL is at least that of fair BP, by
            the full tier where it is complete, else by the cpu tier.
    """

    cells: int
    cpu: int
    full: int
    comparisons: int
    al_at_least_fair_bp: int


def count_cells(index: RowIndex) -> Counts:
    """Count what a ledger fills."""
    filled = dict.fromkeys(REPORTED, 0)
    cells = 0
    for name in PAPER_EXHIBITS:
        exhibit = EXHIBITS[name]
        places: list[Run] = (
            [line.run for line in exhibit.lines()]
            if isinstance(exhibit, Figure)
            else [cell.run for cell in exhibit.cells]
        )
        cells += len(places)
        for tier in REPORTED:
            filled[tier] += sum(_complete(index, run, tier) for run in places)
    standing = _standing(index)
    return Counts(
        cells=cells,
        cpu=filled["cpu"],
        full=filled["full"],
        comparisons=len(standing),
        al_at_least_fair_bp=sum(difference >= 0 for difference in standing.values()),
    )


def _complete(index: RowIndex, run: Run, tier: str) -> bool:
    evidence = index.evidence(run, tier)
    return evidence is not None and evidence.fills()


def _standing(index: RowIndex) -> dict[tuple[str, str], float]:
    """Return AL less BP for each data set and model, of the best tier that has enough seeds."""
    found: dict[tuple[str, str], float] = {}
    for tier in reversed(REPORTED):  # the better tier has the last word
        for one in compare_all(index, tier):
            runs = [Run(data=one.data, model=one.model, arm=arm) for arm in ("al", "bp")]
            enough = one.ours.n >= ENOUGH and all(_complete(index, run, tier) for run in runs)
            if enough:
                found[one.data, one.model] = one.difference
    return found

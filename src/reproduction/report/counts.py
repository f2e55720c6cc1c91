"""What the report counts: the one place where README, report and documentation get numbers from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from reproduction.paper.arms import ARMS
from reproduction.paper.catalogue import EXHIBITS, PAPER_EXHIBITS
from reproduction.paper.cell import TIERS, Cell, Printed, Table
from reproduction.report.cells import RowIndex
from reproduction.report.comparison import Comparison
from reproduction.report.names import name_of

__all__ = ["VERDICTS", "Counts", "count_cells"]

Compared = Mapping[tuple[str, str], list[Comparison]]
VERDICTS = ("ahead", "not told apart", "behind", "not yet fair")


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How far the reproduction is, and how AL stands.

    Attributes:
        printed: Values that the paper prints in its tables, each once.
        cpu: Those that the cpu tier fills, by three seeds or more.
        full: Those that the full tier fills, likewise and with all of the paper's data.
        standing: For each tier and form of AL, how many data sets and models have each verdict
            against the best backpropagation.
        unfair: Number of comparisons that break a rule of fairness.
        unfair_cells: Each of them, with the rules that it breaks.
        unread: Rows of settings that this version no longer has, which fill nothing.
    """

    printed: int
    cpu: int
    full: int
    standing: dict[str, dict[str, int]]
    unfair: int
    unfair_cells: dict[str, tuple[str, ...]]
    unread: int


def count_cells(index: RowIndex, compared: Compared) -> Counts:
    """Count what a ledger fills, and what it says.

    Example:
        >>> from reproduction.report.cells import RowIndex
        >>> counts = count_cells(RowIndex([]), {})
        >>> counts.cpu, counts.unfair
        (0, 0)
    """
    printed = _printed()
    filled = {
        tier: sum(any(_complete(index, cell, tier) for cell in cells) for cells in printed.values())
        for tier in TIERS
    }
    unfair = dict(_unfair(one for found in compared.values() for one in found))
    return Counts(
        printed=len(printed),
        cpu=filled["cpu"],
        full=filled["full"],
        standing={
            f"{tier}, {ARMS[arm].title}": _verdicts(found)
            for (tier, arm), found in compared.items()
            if found
        },
        unfair=len(unfair),
        unfair_cells=unfair,
        unread=index.unread,
    )


def _printed() -> dict[tuple[str, str, Printed], list[Cell]]:
    """Return the cells of each value that the paper prints; two baselines may share one."""
    found: dict[tuple[str, str, Printed], list[Cell]] = {}
    for name in PAPER_EXHIBITS:
        exhibit = EXHIBITS[name]
        for cell in exhibit.cells if isinstance(exhibit, Table) else ():
            if cell.paper is not None:
                found.setdefault((name, cell.column, cell.paper), []).append(cell)
    return found


def _complete(index: RowIndex, cell: Cell, tier: str) -> bool:
    evidence = index.evidence(cell.run, tier)
    return evidence is not None and evidence.fills()


def _verdicts(found: list[Comparison]) -> dict[str, int]:
    counted = Counter(one.verdict for one in found)
    return {verdict: counted[verdict] for verdict in VERDICTS}


def _unfair(found: Iterator[Comparison]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for one in found:
        if one.broken:
            yield f"{one.tier}, {name_of(one.data, one.model)}, {ARMS[one.arm].title}", one.broken

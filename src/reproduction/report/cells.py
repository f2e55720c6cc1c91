"""Cells filled from the ledger: of each tier the rows that belong together, never mixed."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from associated_learning.runs.ledger.rows import LedgerRow
from reproduction.campaign.identity import Identity, same_but_vectors
from reproduction.campaign.rates import RateScores, subset_of_seed
from reproduction.paper.arms import ARMS
from reproduction.paper.cell import TIERS, Cell, Line
from reproduction.paper.data_paths import DataPaths
from reproduction.paper.runs import Run
from reproduction.paper.tiers import PAPER_SIZES, RESAMPLED
from reproduction.report.statistics import Spread, spread

__all__ = ["ENOUGH", "PLACES", "REPORTED", "Entry", "Evidence", "RowIndex", "data_sizes"]

REPORTED = (RESAMPLED, *TIERS)  # the one that tunes each arm first
ENOUGH = 3  # seeds for a cell of the paper to count as filled
PLACES = DataPaths(vectors="any")


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The rows of one run by one tier, one a seed, all of the same data.

    Attributes:
        run: What was trained.
        tier: By which protocol.
        rows: The rows, by their seeds.
        repeated: Seeds that have several rows with different results, of which the last counts.
    """

    run: Run
    tier: str
    rows: tuple[LedgerRow, ...]
    repeated: tuple[int, ...] = ()

    @property
    def rests_on(self) -> str:
        """What it rests on: samples, word vectors, seeds."""
        first, paper = self.rows[0].result, PAPER_SIZES[self.run.data]
        pool = first.train_pool or first.train_samples or 0
        parts = [f"n = {len(self.rows)}", f"{first.train_samples:,} to train"]
        if self.tier == RESAMPLED:
            parts[-1] += ", others for each seed"
        if pool < paper.train:
            parts[-1] += f", chosen from {pool:,} of {paper.train:,}"
        if first.test_samples != paper.test:
            parts.append(f"{first.test_samples:,} of {paper.test:,} to test")
        if first.vector_dim is not None:
            parts.append(f"{first.vector_dim}-d vectors")
        if len({row.result.hardware.startswith("NVIDIA") for row in self.rows}) > 1:
            parts.append("some on a GPU, some on a CPU")
        return "; ".join(parts)

    @property
    def whole(self) -> bool:
        """Whether it rests on as much data as the paper has, where its tier asks for all."""
        if self.tier != "full":
            return True
        first, paper = self.rows[0].result, PAPER_SIZES[self.run.data]
        return (first.train_pool or 0) >= paper.train and (first.test_samples or 0) >= paper.test

    def fills(self, enough: int = ENOUGH) -> bool:
        """Return whether it counts as filled: so many seeds, and data enough."""
        return len(self.rows) >= enough and self.whole


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A cell's figure by one tier.

    Attributes:
        value: Mean and spread over the seeds, in the unit of the table.
        evidence: What it rests on.
    """

    value: Spread
    evidence: Evidence


def data_sizes(row: LedgerRow) -> tuple[int | None, ...]:
    """Return what tells the data of a row: samples, and the width of the word vectors."""
    result = row.result
    return result.train_pool, result.train_samples, result.test_samples, result.vector_dim


class RowIndex:
    """The rows of a ledger, by what was trained.

    Attributes:
        rates: What each learning rate of the tuned tier came to.
        unread: How many rows of the tiers have settings that this version no longer has.
    """

    def __init__(self, rows: Sequence[LedgerRow]) -> None:
        self._rows: dict[tuple[str, Identity], list[LedgerRow]] = {}
        self.rates = RateScores(rows)
        self.unread = 0
        for row in rows:
            if row.tier not in REPORTED:
                continue
            config = subset_of_seed(row.config, row.tier)
            if config is None:
                continue
            found = same_but_vectors(config)
            if found is None:
                self.unread += 1
            else:
                self._rows.setdefault((row.tier, found), []).append(row)

    def evidence(self, run: Run, tier: str) -> Evidence | None:
        """Return the rows of a run by a tier; those of most data, if they differ in it.

        A tuned tier gives those of the rate that is best on the validation data of one seed.
        """
        if not ARMS[run.arm].is_of(tier):
            return None
        tuned = self.rates.tuned(run) if tier == RESAMPLED else run
        if tuned is None:
            return None
        found = _asked(tuned, tier)
        groups: dict[tuple[int, ...], dict[int, list[LedgerRow]]] = {}
        for row in self._rows.get((tier, found), []):
            data = tuple(size or 0 for size in data_sizes(row))
            groups.setdefault(data, {}).setdefault(row.seed, []).append(row)
        if not groups:
            return None
        by_seed = dict(sorted(groups[max(groups)].items()))
        return Evidence(
            run=run,
            tier=tier,
            rows=tuple(of_seed[-1] for of_seed in by_seed.values()),
            repeated=tuple(seed for seed, of_seed in by_seed.items() if _differ(of_seed)),
        )

    def entry(self, cell: Cell, tier: str) -> Entry | None:
        """Return the figure of a cell; None where no run has one."""
        evidence = self.evidence(cell.run, tier)
        read = [] if evidence is None else [cell.read(row) for row in evidence.rows]
        values = [value for value in read if value is not None]
        if evidence is None or not values:
            return None
        return Entry(value=spread(values), evidence=evidence)

    def curves(self, line: Line, tier: str) -> list[list[float]]:
        """Return the curve of every seed; empty where there is none."""
        evidence = self.evidence(line.run, tier)
        read = [] if evidence is None else [line.read(row) for row in evidence.rows]
        return [curve for curve in read if curve]


def _differ(rows: Sequence[LedgerRow]) -> bool:
    return len({tuple(row.result.test_scores) for row in rows}) > 1


@functools.cache
def _asked(run: Run, tier: str) -> Identity:
    """Return what the rows of a run must have in common."""
    found = same_but_vectors(run.config(tier, 0, PLACES).to_json())
    assert found is not None  # the settings are of this version
    return found

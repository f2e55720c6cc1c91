"""A campaign that tunes: a grid of learning rates for each arm, then the seeds of the best one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from associated_learning.runs.ledger.rows import LedgerRow
from reproduction.campaign.identity import Identity, identity
from reproduction.campaign.jobs import Job, JobMaker
from reproduction.campaign.rates import (
    TUNING_SEED,
    RateScores,
    best_rate,
    grid_of,
    is_inside,
    switches,
    wanted_rates,
    with_rate,
)
from reproduction.paper.runs import Run

__all__ = ["Tuning"]

_GRID, _SWITCHES, _SEEDS = range(3)  # what comes first


class Tuning:
    """What is to be run next, by what the ledger holds: nothing else is remembered.

    First every arm gets its grid, with one seed, wider for all arms of a cell where the best rate
    of one lies at the edge. An arm whose best rate lies inside is settled: it gets what else its
    cell's arms are given (`switches`), then its seeds, the lowest of all cells first. An arm that
    is not settled yet does not keep the others waiting.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        *,
        seeds: Sequence[int],
        make: JobMaker,
        rows: Sequence[LedgerRow],
    ) -> None:
        self._cells: dict[tuple[str, str], list[Run]] = {}
        for run in runs:
            self._cells.setdefault((run.data, run.model), []).append(run)
        self._seeds, self._make = seeds, make
        self._scores = RateScores()
        self._rows: dict[tuple[Identity | None, int], list[LedgerRow]] = {}
        self._failed: set[tuple[Run, int]] = set()
        for row in rows:
            self.add(row)

    def add(self, row: LedgerRow) -> None:
        """Take account of a row of the ledger."""
        self._scores.add(row)
        self._rows.setdefault((identity(row.config), row.seed), []).append(row)

    def ended(self, job: Job, row: LedgerRow | None) -> list[Job]:
        """Take account of a job that ended; return those that are due now, in their order.

        Args:
            job: The job.
            row: Its row; None if it failed, as where a rate is too high: the other rates decide.
        """
        if row is None:
            self._failed.add((job.run, job.seed))
        else:
            self.add(row)
        return self.due()

    def due(self) -> list[Job]:
        """Return the jobs that are due and neither in the ledger nor failed, in their order."""
        found = [
            (phase, seed, -job.expected, job)
            for runs in self._cells.values()
            for phase, run, seed in self._wanted(runs)
            if (run, seed) not in self._failed and not self._is_made(job := self._make(run, seed))
        ]
        return [job for *_, job in sorted(found, key=lambda one: one[:-1])]

    def _wanted(self, runs: Sequence[Run]) -> Iterator[tuple[int, Run, int]]:
        """Yield what the arms of a cell want: its turn, run and seed."""
        scores = {run: {**self._failures(run), **self._scores.of(run)} for run in runs}
        rates = wanted_rates(list(scores.values()), grid_of(runs[0].model))
        for run, of_run in scores.items():
            for rate in rates:
                yield _GRID, with_rate(run, rate), TUNING_SEED
            if not set(rates) <= set(of_run) or not is_inside(of_run):
                continue
            rate, best = best_rate(of_run), self._scores.tuned(run)
            others = switches(with_rate(run, rate))
            assert best is not None
            for other in others:
                yield _SWITCHES, other, TUNING_SEED
            if all(self._is_tried(one, rate) for one in others):
                for seed in self._seeds:
                    yield _SEEDS, best, seed

    def _is_tried(self, run: Run, rate: float) -> bool:
        return rate in self._scores.of(run) or (run, TUNING_SEED) in self._failed

    def _failures(self, run: Run) -> Mapping[float, float]:
        """Return a score below all others for each rate of a run by which training failed."""
        plain = with_rate(run, 0.0)
        failed = [one for one, _ in self._failed if with_rate(one, 0.0) == plain]
        return {dict(one.extra)["lr"]: -1.0 for one in failed}

    def _is_made(self, job: Job) -> bool:
        rows = self._rows.get((job.identity, job.seed), [])
        return any(map(job.has_tier_and_data_of, rows))

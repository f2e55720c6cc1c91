"""The jobs of a campaign: runs with their seeds, without those that the ledger holds."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from associated_learning.errors import InputError, nearest
from associated_learning.runs.folder.provenance import describe_hardware
from associated_learning.runs.ledger.rows import LedgerRow
from associated_learning.runs.networks.families import IMAGE_MODELS
from associated_learning.runs.settings.config import ResolvedConfig
from reproduction.campaign.identity import Identity, identity
from reproduction.paper.arms import ARMS
from reproduction.paper.catalogue import Exhibit
from reproduction.paper.data_paths import DataPaths
from reproduction.paper.runs import Run
from reproduction.paper.tiers import (
    Sizes,
    expected_seconds,
)

__all__ = ["Job", "JobMaker", "Selection", "make_jobs", "missing_jobs", "parsed_seeds"]

_FIRST = ("bp", "bp-encoders", "al")  # the comparison that is wanted most
_MOST_SEEDS = 10_000


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which runs of a table are wanted; empty for all.

    Attributes:
        data: Names of data sets.
        models: Network families.
        arms: Names of arms.
    """

    data: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()

    def check(self, runs: Iterable[Run]) -> None:
        """Raise InputError for a name that none of some runs has."""
        runs = list(runs)
        for option, attribute, names in self._wanted():
            known = dict.fromkeys(getattr(run, attribute) for run in runs)
            for name in names:
                if name not in known:
                    raise InputError(
                        f"{option} {name} came; expected one of {', '.join(known)}."
                        f"{nearest(name, known)}"
                    )

    def of(self, runs: Iterable[Run]) -> list[Run]:
        """Return the wanted ones of some runs."""
        return [
            run
            for run in runs
            if all(not names or getattr(run, by) in names for _, by, names in self._wanted())
        ]

    def _wanted(self) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
        """Return the options, what they choose by, and the names that came."""
        return (
            ("--data", "data", self.data),
            ("--model", "model", self.models),
            ("--arm", "arm", self.arms),
        )


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run that is to be made.

    Attributes:
        experiment: Name of the table or figure that asked for it.
        run: What is trained.
        tier: By which protocol.
        seed: Seed.
        config: The settings, resolved.
        identity: See `identity`.
        expected: Seconds that it should take on one core, or on record.
        sizes: Those of its data set on this machine.
    """

    experiment: str
    run: Run
    tier: str
    seed: int
    config: ResolvedConfig
    identity: Identity
    expected: float
    sizes: Sizes

    def has_tier_and_data_of(self, row: LedgerRow) -> bool:
        """Return whether a row is of its tier and seed, and of as much data as there is here."""
        if (row.tier, row.seed) != (self.tier, self.seed):
            return False
        pool, test = row.result.train_pool or 0, row.result.test_samples or 0
        return pool >= self.sizes.train and test >= self.sizes.test

    @property
    def name(self) -> str:
        """Its name in a table of jobs."""
        return f"{self.run.name}, seed {self.seed}"

    @property
    def folder(self) -> Path:
        """Its folder below that of all runs; other settings give another one."""
        digest = hashlib.sha256(repr(self.identity).encode()).hexdigest()[:8]
        return Path("reproduce") / self.tier / f"{self.run.name}-{self.seed}-{digest}"


class JobMaker:
    """Makes the jobs of runs on this machine, each once."""

    def __init__(self, *, tier: str, places: DataPaths, rows: Sequence[LedgerRow] = ()) -> None:
        kind = _kind(describe_hardware(places.device))
        self._tier, self._places = tier, places
        self._took = _times([row for row in rows if _kind(row.result.hardware) == kind])
        self._made: dict[tuple[str, Run, int], Job] = {}

    def __call__(self, run: Run, seed: int, *, experiment: str | None = None) -> Job:
        """Return the job of a run and seed.

        Args:
            run: What is trained.
            seed: Seed.
            experiment: Name of the table or figure that asks for it; by default that of the
                paper's comparison, Table 4 for images and Table 1 for texts.
        """
        experiment = experiment or ("table4" if run.model in IMAGE_MODELS else "table1")
        key = experiment, run, seed
        if key not in self._made:
            self._made[key] = self._new(*key)
        return self._made[key]

    def _new(self, experiment: str, run: Run, seed: int) -> Job:
        config = run.config(self._tier, seed, self._places)
        found, sizes = identity(config.to_json()), self._places.sizes(run.data)
        assert found is not None  # the settings are of this version
        return Job(
            experiment=experiment,
            run=run,
            tier=self._tier,
            seed=seed,
            config=config,
            identity=found,
            expected=self._took.get(found, expected_seconds(config, sizes)),
            sizes=sizes,
        )


def make_jobs(
    exhibits: Iterable[Exhibit],
    *,
    tier: str,
    seeds: Sequence[int],
    places: DataPaths,
    selection: Selection | None = None,
    rows: Sequence[LedgerRow] = (),
) -> list[Job]:
    """Return the jobs of some tables and figures in the order in which to make them.

    Seeds are outermost, so that n grows evenly; then come BP and AL; then what costs least.

    Raises:
        InputError: A run needs word vectors and ``places`` names none; a table is not made by the
            tier; or see `Selection.check`.
    """
    exhibits, selection = list(exhibits), selection or Selection()
    selection.check(run for exhibit in exhibits for run in exhibit.runs())
    jobs: dict[tuple[Identity, int], Job] = {}
    make = JobMaker(tier=tier, places=places, rows=rows)
    for exhibit in exhibits:
        if tier not in exhibit.tiers:
            raise InputError(
                f"--tier {tier} came for {exhibit.name}; expected {' or '.join(exhibit.tiers)}."
            )
        for run in selection.of(exhibit.runs()):
            if not ARMS[run.arm].is_of(tier):
                continue
            if run.needs_vectors and places.vectors is None:
                raise InputError(
                    f"{run.name} starts from word vectors, but there are none; name a file in "
                    "GloVe's format by --vectors."
                )
            for seed in seeds:
                job = make(run, seed, experiment=exhibit.name)
                jobs.setdefault((job.identity, seed), job)
    return sorted(
        jobs.values(), key=lambda job: (job.seed, job.run.arm not in _FIRST, job.expected)
    )


def missing_jobs(jobs: Sequence[Job], rows: Sequence[LedgerRow]) -> list[Job]:
    """Return the jobs that the ledger has no row of, or only rows of fewer data."""
    of_run: dict[Identity | None, list[LedgerRow]] = {}
    for row in rows:
        of_run.setdefault(identity(row.config), []).append(row)
    return [
        job for job in jobs if not any(map(job.has_tier_and_data_of, of_run.get(job.identity, ())))
    ]


def parsed_seeds(text: str) -> list[int]:
    """Return the seeds of "0-4" or "0,2,5".

    Raises:
        InputError: The text is neither.

    Example:
        >>> parsed_seeds("0-2"), parsed_seeds("7"), parsed_seeds("0,3-4")
        ([0, 1, 2], [7], [0, 3, 4])
    """
    seeds: list[int] = []
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            some = range(int(first), int(last or first) + 1)
            seeds += some[: _MOST_SEEDS + 1 - len(seeds)]  # never more in memory than are taken
    except ValueError:
        seeds = []
    if not 0 < len(seeds) <= _MOST_SEEDS:
        raise InputError(
            f"--seeds {text:.80} came; expected numbers such as 0-4 or 0,2,5, {_MOST_SEEDS} of "
            "them at most."
        )
    return list(dict.fromkeys(seeds))


def _kind(hardware: str) -> str:
    """Return the processor or GPU without the number of its threads."""
    return hardware.partition(",")[0]


def _times(rows: Sequence[LedgerRow]) -> dict[Identity, float]:
    """Return the median training time of the runs of each kind."""
    times: dict[Identity, list[float]] = {}
    for row in rows:
        found = identity(row.config)
        if found is not None:
            times.setdefault(found, []).append(row.result.seconds)
    return {found: statistics.median(seconds) for found, seconds in times.items()}

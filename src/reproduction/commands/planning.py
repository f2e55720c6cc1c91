"""What `al reproduce` is to make, by what was asked for and what the ledger holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from associated_learning.errors import InputError
from associated_learning.runs.ledger.rows import LedgerRow
from associated_learning.runs.settings.config import ResolvedConfig
from reproduction.campaign.jobs import Job, JobMaker, Selection, make_jobs, missing_jobs
from reproduction.campaign.pool import Ended
from reproduction.campaign.rates import tunes
from reproduction.campaign.tuning import Tuning
from reproduction.paper.catalogue import Exhibit
from reproduction.paper.data_paths import DataPaths
from reproduction.paper.tiers import RESAMPLED

__all__ = ["Asked", "CampaignPlan", "plan_campaign"]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was asked for.

    Attributes:
        exhibits: Tables and figures.
        tier: By which protocol.
        seeds: Seeds.
        selection: Which of their runs.
        places: Where the data lie.
    """

    exhibits: Sequence[Exhibit]
    tier: str
    seeds: Sequence[int]
    selection: Selection
    places: DataPaths


@dataclass(frozen=True, kw_only=True)
class CampaignPlan:
    """What is to be made.

    Attributes:
        missing: The jobs that the ledger lacks, in their order.
        ended: Tells what follows from a job that ended; None if nothing does.
        data: Settings of which the data are those of all runs, made or not.
        told: How many runs there are, in words.
    """

    missing: Sequence[Job]
    ended: Ended | None
    data: Sequence[ResolvedConfig]
    told: str


def plan_campaign(asked: Asked, rows: Sequence[LedgerRow]) -> CampaignPlan:
    """Return what is to be made.

    Raises:
        InputError: See `make_jobs`.
    """
    if asked.tier == RESAMPLED:
        return _tuned(asked, rows)
    planned = make_jobs(
        asked.exhibits,
        tier=asked.tier,
        seeds=asked.seeds,
        places=asked.places,
        selection=asked.selection,
        rows=rows,
    )
    missing = missing_jobs(planned, rows)
    return CampaignPlan(
        missing=missing,
        ended=None,
        data=[job.config for job in planned],
        told=f"{len(planned)} runs, {len(planned) - len(missing)} of them in the ledger.",
    )


def _tuned(asked: Asked, rows: Sequence[LedgerRow]) -> CampaignPlan:
    for exhibit in asked.exhibits:
        if asked.tier not in exhibit.tiers:
            expected = " or ".join(exhibit.tiers)
            raise InputError(f"--tier {asked.tier} came for {exhibit.name}; expected {expected}.")
    runs = [run for exhibit in asked.exhibits for run in exhibit.runs() if tunes(run)]
    asked.selection.check(runs)
    chosen = list(dict.fromkeys(asked.selection.of(runs)))
    make = JobMaker(tier=asked.tier, places=asked.places, rows=rows)
    tuning = Tuning(chosen, seeds=asked.seeds, make=make, rows=rows)
    missing = tuning.due()
    return CampaignPlan(
        missing=missing,
        ended=tuning.ended,
        data=[run.config(asked.tier, seed, asked.places) for run in chosen for seed in asked.seeds],
        told=f"{len(missing)} runs are due now; which seeds follow depends on what they come to.",
    )

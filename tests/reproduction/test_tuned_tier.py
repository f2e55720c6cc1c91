"""A campaign that tunes itself: on made-up scores it finds their peak, in any sittings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from associated_learning.runs.ledger.rows import LedgerRow
from ledger_rows import made_row
from reproduction.campaign.jobs import Job, JobMaker
from reproduction.campaign.rates import GRID, RateScores, is_inside, switches
from reproduction.campaign.tuning import Tuning
from reproduction.paper.data_paths import DataPaths
from reproduction.paper.rates import COMPARED
from reproduction.paper.runs import Run

SEEDS = (0, 1, 2)
CELLS = [("cifar10", "vgg"), ("fashion_mnist", "cnn"), ("ag_news", "transformer")]
RUNS = [Run(data=data, model=model, arm=arm) for data, model in CELLS for arm in COMPARED]
# the rate that is best of each arm; the grid ends at 1.25e-4 and 4e-3
PEAKS = {"bp": 5e-4, "bp-encoders": 1e-3, "al": 1.2e-2, "contrast": 6e-5}


def score(run: Run) -> float:
    settings = dict(run.extra)
    far = abs(math.log2(settings["lr"] / PEAKS[run.arm]))
    return (
        0.9
        - far / 20
        - 0.01 * (settings.get("weight_decay") == 1e-5)
        + 0.001 * (settings.get("label_smoothing") == 0.1)
    )


def row_of(job: Job) -> LedgerRow:
    found = score(job.run)
    return made_row(
        experiment=job.experiment, data=job.run.data, model=job.run.model, method=job.config.method,
        variant=job.run.arm, seed=job.seed, commit="c", config=job.config.to_json(), hardware="h",
        torch="t", epochs=1, best_epoch=1, validation=[found], test=[0.5], seconds=1.0,
        tier="resampled", train_samples=10, train_pool=120_000, test_samples=10_000,
    )  # fmt: skip


def tuning(rows: Sequence[LedgerRow]) -> Tuning:
    make = JobMaker(tier="resampled", places=DataPaths(device="cpu", vectors="any"))
    return Tuning(RUNS, seeds=SEEDS, make=make, rows=rows)


def finished(
    rows: list[LedgerRow], *, most: int = 1000, fails: Callable[[Job], bool] = lambda job: False
) -> list[Job]:
    """Make runs one after the other, the first that is due, and append their rows."""
    campaign, made = tuning(rows), []
    due = campaign.due()
    while due and len(made) < most:
        job = due[0]
        made.append(job)
        row = None if fails(job) else row_of(job)
        rows += [] if row is None else [row]
        due = campaign.ended(job, row)
    return made


def test_every_arm_ends_with_its_best_rate_inside_and_as_many_tried() -> None:
    rows: list[LedgerRow] = []
    made = finished(rows)
    scores = RateScores(rows)
    for run in RUNS:
        found = scores.of(run)
        assert is_inside(found)
        assert set(GRID) < set(found)
        nearest = min(found, key=lambda rate: abs(math.log2(rate / PEAKS[run.arm])))
        best = scores.tuned(run)
        assert best is not None
        assert dict(best.extra)["lr"] == nearest
        assert [job.seed for job in made if job.run == best] == list(SEEDS)
    for data, model in CELLS:
        of_cell = [set(scores.of(run)) for run in RUNS if (run.data, run.model) == (data, model)]
        assert all(rates == of_cell[0] for rates in of_cell)
    assert len({(job.run, job.seed) for job in made}) == len(made)


def test_backpropagation_gets_a_setting_for_each_variant_that_the_study_tried() -> None:
    rows: list[LedgerRow] = []
    finished(rows)
    scores = RateScores(rows)
    bp = Run(data="fashion_mnist", model="cnn", arm="bp")
    assert len(scores.settings_of(bp)) - len(scores.of(bp)) == 7
    best = scores.tuned(bp)
    assert best is not None
    assert dict(best.extra) == {"lr": 5e-4, "label_smoothing": 0.1}  # chosen among all of them
    for run in RUNS:
        assert bool(switches(run)) == (run.model == "cnn" and run.arm in ("bp", "bp-encoders"))


def test_grids_come_first_then_the_lowest_seeds() -> None:
    made = finished([])
    seeds = [job.seed for job in made if job.seed > 0]
    assert seeds == sorted(seeds)
    assert all(job.seed == 0 for job in made[: len(RUNS) * len(GRID)])


def test_in_sittings_it_makes_the_same_runs() -> None:
    rows: list[LedgerRow] = []
    made = []
    while part := finished(rows, most=25):
        made += part
    assert {(job.run, job.seed) for job in made} == {(j.run, j.seed) for j in finished([])}


def test_a_rate_by_which_training_fails_does_not_stop_the_rest() -> None:
    made = finished([], fails=lambda job: dict(job.run.extra)["lr"] == 4e-3)
    assert {job.seed for job in made if job.run.arm == "bp"} == set(SEEDS)
    assert not any(dict(job.run.extra)["lr"] > 8e-3 for job in finished([], fails=lambda job: True))

"""Campaigns: skipping, killing, resuming; the ledger's schema."""

from __future__ import annotations

import json
import signal
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import associated_learning as al
from associated_learning.cli.main import app
from associated_learning.runs.folder.provenance import describe_hardware
from associated_learning.runs.ledger.rows import LedgerRow, append_row, make_row, read_rows
from associated_learning.runs.result import read_result
from associated_learning.runs.run import train_run
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.settings.resolved import resolved
from associated_learning.runs.training_scores import TrainingScores, read_training_scores
from associated_learning.state.files import write_json
from associated_learning.state.lock import held_lock
from associated_learning.state.training_state import TrainingState
from commands import Program, serve
from ledger_rows import made_row
from reproduction.campaign import worker
from reproduction.campaign.identity import identity
from reproduction.campaign.jobs import (
    Job,
    Selection,
    make_jobs,
    missing_jobs,
    parsed_seeds,
)
from reproduction.campaign.pool import Progress, run_jobs
from reproduction.campaign.worker import LOCK, SETTINGS
from reproduction.paper.catalogue import EXHIBITS, find_exhibit
from reproduction.paper.data_paths import DataPaths, widest_vectors
from reproduction.paper.runs import Run
from reproduction.paper.tiers import Sizes

PLACES = DataPaths(vectors="glove.6B.100d.txt")
SMALL = RunConfig(
    epochs=12, limit_train=300, hidden=16, num_layers=2, latent=16, save_every=1, threads=1,
    patience=0, watch_training=True,
)  # fmt: skip


def job(**settings: object) -> Job:
    config = resolved(replace(SMALL, **settings))  # type: ignore[arg-type]
    found = identity(config.to_json())
    assert found is not None
    run = Run(data="digits", model="mlp", arm="al")
    return Job(
        experiment="table0", run=run, tier="cpu", seed=config.seed, config=config, identity=found,
        expected=1.0, sizes=Sizes(train=1, test=1),
    )  # fmt: skip


def campaign(jobs: list[Job], folder: Path, **options: object) -> Progress:
    return run_jobs(
        jobs, runs=folder / "runs", ledger=folder / "ledger.jsonl", at_once=2, devices=["cpu"],
        **options,  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _served() -> None:
    """Let the runs of campaigns be forked from what all processes of the tests are forked from."""
    serve()


@pytest.mark.slow
def test_a_killed_campaign_goes_on_and_ends_with_the_same_rows(tmp_path: Path) -> None:
    jobs = [job(seed=0), job(seed=1)]
    process = Program(campaign, jobs, tmp_path, folder=tmp_path / "printed", daemon=False)
    metrics = [tmp_path / "runs" / one.folder / "metrics.jsonl" for one in jobs]
    try:
        while not all(path.exists() and path.read_text().count("\n") > 1 for path in metrics):
            assert process.returncode is None, process.printed()
            time.sleep(0.05)
    finally:
        process.kill()
    assert not any(read_result(tmp_path / "runs" / one.folder) for one in jobs)
    progress = campaign(jobs, tmp_path)  # whether or not the workers have noticed by now
    assert [len(progress.done), progress.failed] == [2, []]
    rows = read_rows(tmp_path / "ledger.jsonl")
    assert {row.seed for row in rows} == {0, 1}
    for row in rows:
        whole = train_run(job(seed=row.seed).config, tmp_path / f"whole-{row.seed}")
        assert row.result.test_scores == [round(score, 6) for score in whole.test_scores]
        assert row.result.training_curve == [round(score, 4) for score in whole.training_curve]
        assert row.result.answers == whole.answers
    assert missing_jobs(jobs, rows) == []


def test_a_run_waits_for_a_worker_that_has_not_noticed_its_campaigns_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_json(tmp_path / SETTINGS, job(epochs=1).config.to_json())
    with ExitStack() as other:
        assert other.enter_context(held_lock(tmp_path / LOCK))
        monkeypatch.setattr(time, "sleep", lambda seconds: other.close())  # while it waits
        assert worker.work(tmp_path, tmp_path / "store") == 0
    assert read_result(tmp_path) is not None


def test_a_process_ends_with_its_campaign(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked to save first, and insisted where it hangs."""
    signals = list[int]()
    monkeypatch.setattr(worker.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(worker.os, "kill", lambda process, number: signals.append(number))
    worker.end_with(SimpleNamespace(join=lambda: None))  # has ended
    assert signals == [signal.SIGTERM, signal.SIGKILL]


def test_a_run_is_the_same_after_another_in_its_process(tmp_path: Path) -> None:
    jobs = [named(rate, dropout=0.2) for rate in (0.001, 0.0005)]
    for number, one in enumerate(jobs):  # either is once the second
        order = [one, *[other for other in jobs if other is not one]]
        run_jobs(
            order, runs=tmp_path / f"{number}", ledger=tmp_path / f"{number}.jsonl", at_once=1,
            devices=["cpu"],
        )  # fmt: skip
    first, second = (read_rows(tmp_path / f"{number}.jsonl") for number in range(2))
    for one, other in zip(first, reversed(second), strict=True):
        assert one.config == other.config
        assert one.result.answers == other.result.answers
        assert one.result.validation_losses == other.result.validation_losses


@pytest.mark.parametrize("left", [-9, 0])
def test_a_campaign_goes_on_over_metrics_that_a_power_cut_took(left: int, tmp_path: Path) -> None:
    """Torn, or empty as what was never synced."""
    (one,) = jobs = [job(epochs=2)]
    whole = train_run(one.config, tmp_path / "whole")
    folder = tmp_path / "runs" / one.folder
    train_run(one.config, folder)
    (folder / "result.json").unlink()
    for name, end in (("metrics.jsonl", left), ("training.jsonl", -9)):
        (folder / name).write_bytes((folder / name).read_bytes()[:end])
    progress = campaign(jobs, tmp_path)
    assert [len(progress.done), progress.failed] == [1, []]
    (row,) = read_rows(tmp_path / "ledger.jsonl")
    assert row.result.answers == whole.answers
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records] == [1, 2]


def named(rate: float, **settings: object) -> Job:
    """A run whose name has a dot in it, as those with a learning rate have."""
    run = Run(data="digits", model="mlp", arm="al", extra=(("lr", rate),))
    return replace(job(lr=rate, epochs=1, watch_training=False, **settings), run=run)


def test_runs_at_the_same_time_have_their_own_settings(tmp_path: Path) -> None:
    jobs = [named(rate) for rate in (0.00025, 0.0005, 0.001)]
    progress = campaign(jobs, tmp_path)
    assert [len(progress.done), progress.failed] == [3, []]
    rows = read_rows(tmp_path / "ledger.jsonl")
    assert sorted(row.config["lr"] for row in rows) == [0.00025, 0.0005, 0.001]
    assert missing_jobs(jobs, rows) == []


def test_a_folder_of_other_settings_makes_no_row(tmp_path: Path) -> None:
    wanted, other = named(0.001), named(0.002)
    train_run(other.config, tmp_path / "runs" / wanted.folder)
    progress = campaign([wanted], tmp_path)
    ((_, reason),) = progress.failed
    assert "other settings" in reason
    assert not (tmp_path / "ledger.jsonl").exists()


def test_a_failed_run_does_not_stop_the_others(tmp_path: Path) -> None:
    bad = job(data="nowhere.csv", epochs=1)
    progress = campaign([bad, job(epochs=1, seed=5)], tmp_path)
    assert [one.seed for one, _ in progress.done] == [5]
    ((_, reason),) = progress.failed
    assert "nowhere.csv" in reason
    folder = tmp_path / "runs" / job(epochs=1, seed=5).folder
    assert not (folder / "checkpoints").exists()


def test_what_decides_about_a_run_and_what_does_not() -> None:
    base = resolved(RunConfig(data="sst2", model="bilstm", vectors="a/glove.txt")).to_json()
    for change in ({"seed": 9}, {"device": "cuda"}, {"threads": 4}, {"vectors": "b/glove.txt"}):
        assert identity({**base, **change}) == identity(base)
    for change in ({"lr": 0.5}, {"vectors": "other.txt"}, {"limit_train": 9}, {"data_seed": 1}):
        assert identity({**base, **change}) != identity(base)
    older = {name: value for name, value in base.items() if name != "double_softmax"}
    assert identity(older) == identity(base)
    assert identity({"colour": 3}) is None


def test_what_older_rows_of_the_vgg_meant() -> None:
    """Before there was a setting, backpropagation alone had batch normalisation."""
    for method, norms in (("al", False), ("bp", True)):
        base = resolved(RunConfig(data="cifar10", model="vgg", method=method)).to_json()
        older = {name: value for name, value in base.items() if name != "batch_norm"}
        for batch_norm in (False, True):
            same = identity(older) == identity({**base, "batch_norm": batch_norm})
            assert same == (batch_norm is norms)


def test_what_older_rows_of_the_cnn_meant() -> None:
    """Before there was a setting, bridges learned by squared errors alone."""
    base = resolved(RunConfig(data="cifar10", model="cnn")).to_json()
    older = {name: value for name, value in base.items() if name != "association"}
    assert identity(older) == identity({**base, "association": "squared"})
    assert identity(older) != identity({**base, "association": "contrast"})


def row_of(one: Job, **values: object) -> LedgerRow:
    row = made_row(
        experiment="x", data=one.run.data, model=one.run.model, method=one.config.method,
        variant=one.run.arm, seed=one.seed, commit="c", config=one.config.to_json(), hardware="h",
        torch="t", epochs=1, best_epoch=1, validation=[0.5], test=[0.5], seconds=1.0,
        tier=one.tier, train_samples=10, train_pool=67_349, test_samples=1_821,
    )  # fmt: skip
    return made_row(row.to_json(), **values)


def test_rows_in_the_ledger_are_left_out_whichever_table_asked() -> None:
    chosen = Selection(data=("sst2",), models=("bilstm",), arms=("al",))
    options = {"tier": "cpu", "seeds": [0], "places": PLACES, "selection": chosen}
    (one,) = make_jobs([find_exhibit("table1")], **options)
    (other,) = make_jobs([find_exhibit("variants")], **options)
    assert missing_jobs([other], [row_of(one)]) == []
    for values in ({"tier": "full"}, {"seed": 1}, {"train_pool": 67_000}, {"test_samples": 900}):
        assert missing_jobs([one], [row_of(one, **values)]) == [one]


def test_expected_times_are_of_this_kind_of_machine() -> None:
    chosen = Selection(data=("sst2",), models=("bilstm",), arms=("al",))
    options = {"tier": "cpu", "seeds": [0], "places": PLACES, "selection": chosen}
    (guessed,) = make_jobs([find_exhibit("table1")], **options)
    here = describe_hardware("auto")
    rows = [
        row_of(guessed, hardware=hardware, seconds=seconds)
        for hardware, seconds in (
            (here, 50.0),
            ("NVIDIA H0", 2.0),
            (f"{here.split(',')[0]}, 9", 70.0),
        )
    ]
    (known,) = make_jobs([find_exhibit("table1")], rows=rows, **options)
    assert known.expected == 60.0
    (unknown,) = make_jobs([find_exhibit("table1")], rows=rows[1:2], **options)
    assert unknown.expected == guessed.expected


def test_seeds_are_outermost_and_the_comparison_comes_first() -> None:
    exhibits = [exhibit for exhibit in EXHIBITS.values() if "cpu" in exhibit.tiers]
    jobs = make_jobs(exhibits, tier="cpu", seeds=[0, 1], places=PLACES)
    assert [one.seed for one in jobs] == sorted(one.seed for one in jobs)
    of_first = [one for one in jobs if one.seed == 0]
    arms = [one.run.arm in ("al", "bp", "bp-encoders") for one in of_first]
    assert arms == sorted(arms, reverse=True)
    assert len({(one.identity, one.seed) for one in jobs}) == len(jobs)
    assert len({one.folder for one in jobs}) == len(jobs)


def test_a_selection_is_of_all_exhibits_together() -> None:
    """SST-2 is in table 3 alone, and asking for both tables takes its runs from there."""
    options = {"tier": "cpu", "seeds": [0], "places": PLACES}
    chosen = Selection(data=("sst2",))
    with pytest.raises(al.InputError, match="--data sst2 came; expected one of imdb, ag_news"):
        make_jobs([find_exhibit("table2")], selection=chosen, **options)
    both = [find_exhibit("table2"), find_exhibit("table3")]
    found = make_jobs(both, selection=chosen, **options)
    assert {one.experiment for one in found} == {"table3"}
    assert {one.run.data for one in found} == {"sst2"}


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    options = {"tier": "cpu", "seeds": [0]}
    with pytest.raises(al.InputError, match="starts from word vectors, but there are none"):
        make_jobs([find_exhibit("table1")], places=DataPaths(), **options)
    wrong = Selection(data=("ssst2",))
    with pytest.raises(al.InputError, match=r"--data ssst2 came.*Did you mean 'sst2'"):
        make_jobs([find_exhibit("table1")], places=PLACES, selection=wrong, **options)
    with pytest.raises(al.InputError, match="--tier cpu came for rates-images; expected full"):
        make_jobs([find_exhibit("rates-images")], places=PLACES, **options)
    with pytest.raises(al.InputError, match="--seeds x came; expected numbers such as 0-4"):
        parsed_seeds("x")
    (tmp_path / "glove").mkdir()
    for name in ("glove.6B.50d.txt", "glove.6B.300d.zip", "readme"):
        (tmp_path / "glove" / name).touch()
    assert widest_vectors(str(tmp_path)) == str(tmp_path / "glove" / "glove.6B.300d.zip")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"test": [1.5]}, r"test is \[1.5\]; expected shares from 0 to 1"),
        ({"test": [0.5, 0.5]}, "2 test scores came beside 1 of validation"),
        ({"tier": "gpu"}, "tier is 'gpu'; expected one of full, cpu, resampled, single"),
        ({"best_epoch": 3}, "best_epoch is 3 of 1 epochs"),
        ({"seed": True}, "seed is True; expected a whole number"),
        ({"seconds": float("nan")}, "seconds is nan; expected a number"),
        ({"method": "sgd"}, "method is 'sgd'; expected al or bp"),
        ({"validation_curve": [[0.1], [0.2]]}, "validation_curve has 2 entries for 1 epochs"),
        ({"train_samples": 0}, "train_samples is 0; expected a whole number of 1 or more"),
    ],
)
def test_rows_that_break_the_schema_are_refused(
    values: dict[str, object], message: str, tmp_path: Path
) -> None:
    row = row_of(job())
    with pytest.raises(al.InputError, match=message):
        made_row(row.to_json(), **values)
    (tmp_path / "ledger.jsonl").write_text(json.dumps({**row.to_json(), **values}) + "\n")
    with pytest.raises(al.CheckpointError, match="line 1 is no ledger row"):
        read_rows(tmp_path / "ledger.jsonl")


def test_rows_that_are_older_than_the_new_columns_load(tmp_path: Path) -> None:
    new = (
        "tier", "train_samples", "train_pool", "test_samples", "vector_dim", "vector_coverage",
        "parameters", "associated", "validation_curve", "training_curve", "answers",
    )  # fmt: skip
    values = {name: value for name, value in row_of(job()).to_json().items() if name not in new}
    (tmp_path / "ledger.jsonl").write_text(json.dumps(values) + "\n")
    (row,) = read_rows(tmp_path / "ledger.jsonl")
    assert (row.tier, row.result.train_samples, row.result.answers) == ("single", None, None)


def test_a_run_tells_what_it_rests_on(tmp_path: Path) -> None:
    config = resolved(replace(SMALL, epochs=2))
    result = train_run(config, tmp_path)
    assert (result.train_samples, result.test_samples, result.train_pool) == (300, 359, 1438)
    assert len(result.associated) == len(result.test_scores) == 2
    assert len(result.validation_curve) == len(result.training_curve) == 2
    row = make_row(config, result, experiment="x", tier="cpu")
    assert append_row(tmp_path / "ledger.jsonl", row)
    assert read_rows(tmp_path / "ledger.jsonl") == [row]


def test_a_training_score_that_a_kill_cut_off_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "training.jsonl"
    path.write_text("0.5\n0.2")
    assert read_training_scores(path) == [0.5]
    net = al.BPNetwork(torch.nn.Linear(2, 2), al.Classes(2))
    batches = al.LoaderBatches([(torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64))])
    state = TrainingState(epoch=2, records=[None, None])  # type: ignore[list-item]
    TrainingScores(path, net, batches).started(state, epochs=3, batches=1)
    scores = read_training_scores(path)
    assert scores[0] == 0.5
    assert scores[1] in (0.0, 1.0)  # of four equal samples
    path.write_text(path.read_text().replace("0.5", "0.75"))
    with pytest.raises(al.CheckpointError, match=r"no accuracy \(its content does not fit"):
        read_training_scores(path)


def test_no_more_seeds_than_fit_into_memory() -> None:
    with pytest.raises(al.InputError, match=r"--seeds 0-99999999 came; expected"):
        parsed_seeds("0-99999999")


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--jobs", "-1"], "--jobs -1 came"), (["--device", "tpu"], "tpu")],
)
def test_options_by_which_a_campaign_would_never_end(
    options: list[str], message: str, tmp_path: Path
) -> None:
    ledger = ["--ledger", str(tmp_path / "ledger.jsonl")]
    command = ["reproduce", "table1", "--vectors", "glove.txt", *ledger]
    with pytest.raises(al.InputError, match=message):
        app([*command, *options], standalone_mode=False)

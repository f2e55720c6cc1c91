"""Runs: folders, settings, ledger."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import associated_learning as al
from associated_learning.callbacks import Callback
from associated_learning.experiments.config import RunConfig
from associated_learning.experiments.families import InputSpec, build_network, resolved
from associated_learning.experiments.ledger import append_row, make_row, read_rows
from associated_learning.experiments.run import open_run, read_history, train_run
from associated_learning.history import TrainingState

SMALL = RunConfig(epochs=3, limit_train=200, hidden=16, num_layers=2, threads=1, latent=16)


class Kill(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def batch_done(self, state: TrainingState, losses: list[dict[str, float]]) -> None:
        if state.step == self.step:
            raise KeyboardInterrupt


def test_a_run_is_a_folder_that_can_be_opened_again(tmp_path: Path) -> None:
    result = train_run(SMALL, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "config.json", "preprocessing.json", "metrics.jsonl", "checkpoints", "plots", "result.json"
    }  # fmt: skip
    assert len(read_history(tmp_path)) == 3
    opened = open_run(tmp_path)
    assert opened.config == resolved(SMALL)
    assert opened.label_names == tuple("0123456789")
    assert len(result.test_scores) == opened.net.num_layers == 2
    assert result.validation_scores == read_history(tmp_path)[result.best_epoch - 1].scores


def test_a_killed_run_is_resumed_by_the_same_call(tmp_path: Path) -> None:
    whole = train_run(SMALL, tmp_path / "whole")
    config = replace(SMALL, save_every=1)
    with pytest.raises(KeyboardInterrupt):
        train_run(config, tmp_path / "killed", callbacks=[Kill(5)])
    resumed = train_run(config, tmp_path / "killed")
    assert resumed.test_scores == whole.test_scores
    for kind in ("layer-1", "layer-2"):
        one, two = (
            next((tmp_path / name / "checkpoints").glob(f"best-*/{kind}.safetensors")).read_bytes()
            for name in ("whole", "killed")
        )
        assert one == two


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first = train_run(SMALL, tmp_path)
    assert train_run(SMALL, tmp_path, callbacks=[Kill(1)]) == first


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    train_run(SMALL, tmp_path)
    with pytest.raises(al.InputError, match=r"run of other settings \(lr: 0.5, 0.001; seed: 7, 0"):
        train_run(replace(SMALL, lr=0.5, seed=7), tmp_path)


def test_the_seed_decides_everything(tmp_path: Path) -> None:
    one, two, other = (
        train_run(replace(SMALL, seed=seed), tmp_path / name)
        for name, seed in (("one", 0), ("two", 0), ("other", 1))
    )
    assert replace(one, seconds=0.0) == replace(two, seconds=0.0)
    assert one.test_scores != other.test_scores
    losses = [read_history(tmp_path / name)[0].losses for name in ("one", "two", "other")]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("folder", ["", "nothing"])
def test_what_is_no_run_is_named(folder: str, tmp_path: Path) -> None:
    with pytest.raises(al.CheckpointError, match=r"is no run: it holds no config\.json"):
        open_run(tmp_path / folder)


def test_settings_of_another_version_are_named(tmp_path: Path) -> None:
    train_run(SMALL, tmp_path)
    path = tmp_path / "config.json"
    described = json.loads(path.read_text())
    described["config"]["from_the_future"] = 1
    path.write_text(json.dumps(described))
    with pytest.raises(al.CheckpointError, match="another version of this library"):
        open_run(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "trasformer"}, "--model trasformer came; .* Did you mean 'transformer'"),
        ({"method": "apl"}, "--method apl came; expected one of al, bp"),
        ({"epochs": 0}, "--epochs 0 came; expected at least 1"),
        ({"lr": -1.0}, "--lr -1.0 came"),
        ({"save_every": 0}, "--save-every 0 came"),
        ({"label_noise": 1.5}, "--label-noise 1.5 came; expected at most 1"),
        ({"dropout": 1.0}, "--dropout 1.0 came; expected at most 0.99"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(al.InputError, match=message):
        RunConfig(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "kind", "message"),
    [
        ("bilstm", "image", "bilstm reads text, the data are of kind image; use mlp, cnn or vgg"),
        ("cnn", "text", "cnn reads images, the data are text; use bilstm or transformer"),
        ("cnn", "table", "cnn reads images, the data are table; use mlp"),
        ("mlp", "text", "mlp reads numbers, the data are text"),
    ],
)
def test_models_that_do_not_fit_the_data_are_named(model: str, kind: str, message: str) -> None:
    spec = InputSpec(kind=kind, num_classes=2, shape=(1, 8, 8))
    with pytest.raises(al.InputError, match=message):
        build_network(resolved(RunConfig(model=model)), spec)


def test_papers_settings_are_the_defaults() -> None:
    """Tables 7 and 8: widths, batch sizes and learning rates."""
    found = {
        (model, method): resolved(RunConfig(model=model, method=method))
        for model in ("bilstm", "transformer")
        for method in ("al", "bp")
    }
    assert [found["bilstm", m].hidden for m in ("bp", "al")] == [350, 300]
    assert [found["transformer", m].hidden for m in ("bp", "al")] == [512, 256]
    assert {c.lr for (m, _), c in found.items() if m == "bilstm"} == {1e-4}
    assert {c.lr for (m, _), c in found.items() if m == "transformer"} == {2.5e-4}
    assert {c.batch_size for (m, _), c in found.items() if m == "bilstm"} == {64}
    assert {c.batch_size for (m, _), c in found.items() if m == "transformer"} == {128}
    assert found["bilstm", "al"].clip == found["bilstm", "bp"].clip == 5.0
    assert found["bilstm", "al"].latent == found["transformer", "al"].latent == 128


def test_the_ledger_grows_by_whole_rows(tmp_path: Path) -> None:
    config = resolved(SMALL)
    result = train_run(SMALL, tmp_path / "run")
    path = tmp_path / "ledger.jsonl"
    for seed in (0, 1):
        append_row(path, make_row(replace(config, seed=seed), result, experiment="test"))
    rows = read_rows(path)
    assert [row.seed for row in rows] == [0, 1]
    assert rows[0].test == pytest.approx(result.test_scores, abs=1e-6)
    assert RunConfig(**rows[0].config) == config


def test_a_malformed_ledger_row_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text('{"experiment": "x"}\n')
    with pytest.raises(al.CheckpointError, match=r"ledger.jsonl, line 1 is no ledger row"):
        read_rows(path)


@pytest.mark.data
@pytest.mark.parametrize(
    ("data", "model"),
    [
        ("fashion_mnist", "cnn"),
        ("cifar10", "cnn"),
        ("ag_news", "transformer"),
        ("imdb", "transformer"),
        ("sst2", "bilstm"),
        ("dbpedia_14", "bilstm"),
    ],
)
def test_every_data_set_trains_and_learns(
    data: str, model: str, data_root: Path, tmp_path: Path
) -> None:
    """A few hundred updates lift the first exit well above the largest class's share."""
    text = model in ("bilstm", "transformer")
    config = RunConfig(
        data=data, model=model, data_root=str(data_root), limit_train=1500, epochs=3,
        batch_size=16, lr=1e-3, max_length=60, hidden=64 if text else None, threads=1,
        validation_fraction=0.02,
        vectors=str(data_root / "glove" / "glove.6B.100d.trimmed.txt.gz") if text else None,
    )  # fmt: skip
    result = train_run(config, tmp_path)
    classes = len(open_run(tmp_path).label_names)
    assert max(result.test_scores) > 1 / classes + 0.25 * (1 - 1 / classes)

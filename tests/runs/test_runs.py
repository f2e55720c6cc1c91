"""Runs: folders, settings, ledger."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

import associated_learning as al
from associated_learning.data import DataSet
from associated_learning.runs.folder.open_run import open_run
from associated_learning.runs.inputs import load_data, training_batches
from associated_learning.runs.ledger.rows import append_row, make_row, read_rows
from associated_learning.runs.networks.families import build_network
from associated_learning.runs.networks.input_spec import InputSpec
from associated_learning.runs.result import RunResult, read_history
from associated_learning.runs.run import train_run
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.settings.resolved import resolved, restored
from associated_learning.state.files import read_json, write_json
from associated_learning.state.training_state import EpochRecord, TrainingState
from associated_learning.training.callbacks import Callback, Callbacks, JsonLines
from faults import InterruptAt

SMALL = RunConfig(epochs=3, limit_train=200, hidden=16, num_layers=2, threads=1, latent=16)


EPOCH = EpochRecord(
    epoch=1, step=1, losses=[], scores=[], validation_losses=[], lr=[], seconds=0.0,
    validation_seconds=0.0,
)  # fmt: skip


RESULT = RunResult(
    test_scores=[0.5], validation_scores=[0.5], best_epoch=1, epochs=1, seconds=1.0,
    vector_coverage=None,
)  # fmt: skip


def same_weights(*folders: Path) -> None:
    """Compare the best weights that runs have kept, byte for byte."""
    first, *others = [sorted((of / "checkpoints").glob("best-*/*")) for of in folders]
    assert first
    for other in others:
        for one, two in zip(first, other, strict=True):
            assert one.read_bytes() == two.read_bytes(), one.name


def test_a_run_is_a_folder_that_can_be_opened_again(tmp_path: Path) -> None:
    result = train_run(SMALL, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names - {".lock", ".lock.holder"} == {
        "config.json", "preprocessing.json", "metrics.jsonl", "checkpoints", "plots", "result.json",
        "temperatures.json",
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
        train_run(config, tmp_path / "killed", callbacks=[InterruptAt(5)])
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
    assert train_run(SMALL, tmp_path, callbacks=[InterruptAt(1)]) == first


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    train_run(SMALL, tmp_path)
    with pytest.raises(al.InputError, match=r"settings \(--lr 0.5 now, 0.001 there; --seed 7 now"):
        train_run(replace(SMALL, lr=0.5, seed=7), tmp_path)


def write_points(path: Path, shift: int = 0, names: tuple[str, str] = ("low", "high")) -> None:
    rows = [f"{i % 7 + shift},{i * i % 5},{names[i % 7 > 3]}" for i in range(140)]
    path.write_text("a,b,label\n" + "\n".join(rows) + "\n")


@pytest.mark.parametrize(
    ("change", "what"),
    [({"shift": 3}, r"\(mean of the inputs\)"), ({"names": ("no", "yes")}, r"\(label names\)")],
)
def test_an_unfinished_run_on_changed_data_is_refused_and_kept(
    change: dict[str, Any], what: str, tmp_path: Path
) -> None:
    path, folder = tmp_path / "points.csv", tmp_path / "run"
    config = replace(SMALL, data=str(path), limit_train=None, save_every=1)
    write_points(path)
    whole = train_run(config, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_run(config, folder, callbacks=[InterruptAt(3)])
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    write_points(path, **change)
    with pytest.raises(al.InputError, match="the data have changed since training " + what):
        train_run(config, folder)
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    write_points(path)
    assert train_run(config, folder).test_scores == whole.test_scores


def test_a_run_may_be_resumed_after_rounding_elsewhere(tmp_path: Path) -> None:
    write_points(tmp_path / "points.csv")
    config = replace(SMALL, data=str(tmp_path / "points.csv"), limit_train=None, save_every=1)
    with pytest.raises(KeyboardInterrupt):
        train_run(config, tmp_path / "run", callbacks=[InterruptAt(1)])
    path = tmp_path / "run" / "preprocessing.json"
    stored = read_json(path)
    stored["mean"][0] *= 1 + 1e-14
    write_json(path, stored)
    assert train_run(config, tmp_path / "run").epochs == 3


def test_word_vectors_of_another_width_are_refused_on_resuming(tmp_path: Path) -> None:
    lines = [f"a {('good', 'bad')[i % 2]} film {i},{('no', 'yes')[i % 2]}" for i in range(60)]
    (tmp_path / "t.csv").write_text("text,label\n" + "\n".join(lines) + "\n")
    vectors = tmp_path / "vectors.txt"
    config = RunConfig(
        data=str(tmp_path / "t.csv"), text_column="text", model="bilstm", hidden=4, latent=4,
        vectors=str(vectors), epochs=1, save_every=1, threads=1, batch_size=8,
    )  # fmt: skip
    vectors.write_text("film 1 2 3\ngood 1 0 0\n")
    with pytest.raises(KeyboardInterrupt):
        train_run(config, tmp_path / "run", callbacks=[InterruptAt(1)])
    vectors.write_text("film 1 2\ngood 1 0\n")
    with pytest.raises(al.InputError, match=r"changed since the run .*embedding_dim: 2, 3: now"):
        train_run(config, tmp_path / "run")


def test_a_run_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(al.InputError, match="run is a file; expected a folder"):
        train_run(SMALL, tmp_path / "run")


def test_metrics_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(al.CheckpointError, match=r"metrics\.jsonl could not be saved"):
        train_run(SMALL, tmp_path)
    lines = JsonLines(tmp_path / "metrics.jsonl")
    with pytest.raises(al.CheckpointError, match=r"metrics\.jsonl could not be saved"):
        lines.epoch_done(TrainingState(), EPOCH)


class Ends(Callback):
    def __init__(self, told: list[int], number: int) -> None:
        self.told = told
        self.number = number

    def ended(self, state: TrainingState) -> None:
        self.told.append(self.number)
        if self.number == 1:
            raise OSError("disk")


def test_every_callback_hears_the_end_even_after_an_error() -> None:
    told: list[int] = []
    with pytest.raises(OSError, match="disk"):
        Callbacks([Ends(told, i) for i in range(3)]).ended(TrainingState())
    assert told == [0, 1, 2]


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


@pytest.mark.parametrize(
    "described",
    [
        "[]",
        "7",
        '{"model_type": "bert"}',
        '{"config": {}, "inputs": {"shape": []}, "label_names": []}',
        '{"config": {}, "inputs": {"kind": "table", "num_classes": 2}, "label_names": []}',
        '{"config": {}, "inputs": [], "label_names": []}',
    ],
)
def test_a_foreign_config_is_named(described: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(described)
    for call in (open_run, lambda folder: train_run(SMALL, folder)):
        with pytest.raises(al.CheckpointError, match="does not describe a run of this library"):
            call(tmp_path)
    assert (tmp_path / "config.json").read_text() == described


@pytest.mark.parametrize("result", ["[]", "7", '{"accuracy": 1.0}'])
def test_a_foreign_result_is_named(result: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(result)
    with pytest.raises(al.CheckpointError, match="is no result of a run of this library"):
        train_run(SMALL, tmp_path)


def test_changed_metrics_are_noticed_and_older_ones_are_read(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = JsonLines(path)
    lines.epoch_done(TrainingState(), EPOCH)
    assert read_history(tmp_path) == [EPOCH]
    path.write_text(path.read_text().replace('"step": 1', '"step": 2'))
    with pytest.raises(al.CheckpointError, match=r"line 1 is no .*\(its content does not fit"):
        read_history(tmp_path)
    path.write_text(json.dumps(asdict(EPOCH)) + "\n")
    assert read_history(tmp_path) == [EPOCH]


def test_foreign_metrics_are_named(tmp_path: Path) -> None:
    with pytest.raises(al.CheckpointError, match=r"metrics\.jsonl cannot be read"):
        read_history(tmp_path)
    for line in ("[]", "{", '{"loss": 1}'):
        (tmp_path / "metrics.jsonl").write_text(json.dumps(asdict(EPOCH)) + "\n" + line + "\n")
        with pytest.raises(al.CheckpointError, match="line 2 is no epoch of a run"):
            read_history(tmp_path)


def test_settings_of_another_version_are_named(tmp_path: Path) -> None:
    train_run(SMALL, tmp_path)
    path = tmp_path / "config.json"
    described = read_json(path)
    described["config"]["from_the_future"] = 1
    write_json(path, described)
    with pytest.raises(al.CheckpointError, match="another version of this library"):
        open_run(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "trasformer"}, "--model trasformer came; .* Did you mean 'transformer'"),
        ({"method": "apl"}, "--method apl came; expected one of al, bp"),
        ({"epochs": 0}, "--epochs 0 came; expected at least 1"),
        ({"lr": -1.0}, "--lr -1.0 came"),
        ({"lr": float("nan")}, "--lr nan came; expected at least 0"),
        ({"lr": float("inf")}, "--lr inf came; expected a finite number"),
        ({"seed": -1}, "--seed -1 came; expected at least 0"),
        ({"save_every": 0}, "--save-every 0 came"),
        ({"label_noise": 1.5}, "--label-noise 1.5 came; expected at most 1"),
        ({"dropout": 1.0}, "--dropout 1.0 came; expected at most 0.99"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(al.InputError, match=message):
        RunConfig(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "bp", "latent": 64}, "--latent 64 came, but --method bp has no associated"),
        ({"method": "bp", "encoders": "paper", "readout": "mean"}, "--encoders paper has a head"),
        ({"method": "bp", "bridge": "mlp"}, "--bridge mlp came, but --method bp"),
        ({"method": "bp", "target_warmup": 9}, "--target-warmup 9 came, but --method bp"),
        ({"bridge_hidden": 9}, "--bridge-hidden 9 came, but only --bridge mlp has a width"),
        ({"method": "bp", "coder_activation": "elu"}, "--coder-activation elu came, but"),
        ({"method": "bp", "first_loss": "mse"}, "--first-loss mse came, but --method bp"),
        ({"method": "bp", "detach_target": False}, "--detach-target False came, but"),
        ({"method": "bp", "stop_gradients": False}, "--stop-gradients False came, but"),
        ({"method": "bp", "lower_associated": False}, "--lower-associated False came, but"),
        ({"model": "cnn", "num_layers": 2}, "--num-layers 2 came, but the layers of --model cnn"),
        ({"model": "vgg", "hidden": 8}, "--hidden 8 came, but the layers of --model vgg"),
        ({"model": "vgg", "dropout": 0.5}, "--dropout 0.5 came, but the layers of --model vgg"),
        ({"embedding_dim": 8}, "--embedding-dim 8 came, but --model mlp has no word embedding"),
        ({"model": "cnn", "embedding_dropout": 0.5}, "--embedding-dropout 0.5 came, but --model"),
    ],
)
def test_settings_without_effect_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(al.InputError, match=message):
        resolved(RunConfig(**settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("model", ["mlp", "cnn", "vgg", "bilstm", "transformer", "hf:bert"])
@pytest.mark.parametrize("method", ["al", "bp"])
def test_resolved_settings_resolve_to_themselves(model: str, method: str) -> None:
    config = resolved(RunConfig(model=model, method=method))
    assert resolved(config) == config


def test_a_learning_rate_of_zero_leaves_the_weights(tmp_path: Path) -> None:
    config = replace(SMALL, lr=0.0, epochs=1)
    train_run(config, tmp_path)
    opened = open_run(tmp_path)
    fresh = build_network(resolved(config), opened.spec).state_dict()
    for name, tensor in opened.net.state_dict().items():
        assert torch.equal(tensor, fresh[name]), name


def test_an_image_size_that_is_not_taken_is_refused() -> None:
    with pytest.raises(al.InputError, match=r"--image-size 16 came for digits, whose .* 8 x 8"):
        load_data(replace(SMALL, image_size=16))


def test_an_image_size_for_a_table_is_refused(tmp_path: Path) -> None:
    write_points(tmp_path / "points.csv")
    config = RunConfig(data=str(tmp_path / "points.csv"), image_size=8)
    with pytest.raises(al.InputError, match="--image-size came for data of kind table"):
        load_data(config)


def test_the_last_batch_of_vgg_never_holds_one_sample() -> None:
    for count in (8, 9, 10):
        for method in ("al", "bp"):
            config = RunConfig(model="vgg", method=method, limit_train=100, batch_size=4)
            whole = load_data(config)
            data = replace(whole, train=_first(whole, count))
            sizes = [len(y) for _, y in training_batches(config, data).epoch(0)]
            assert 1 not in sizes
            assert sum(sizes) == count - (count == 9)


def _first(data: DataSet, count: int) -> Any:
    return replace(data.train, pixels=data.train.pixels[:count], labels=data.train.labels[:count])


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


def test_the_papers_settings_have_one_name() -> None:
    """Tables 7 and 8: widths, batch sizes and learning rates."""
    found = {
        (model, method): resolved(RunConfig(model=model, method=method, preset="paper"))
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
    assert rows[0].result.test_scores == pytest.approx(result.test_scores, abs=1e-6)
    assert restored(rows[0].config) == config


def test_a_row_tells_where_the_run_was_made_and_goes_in_once(tmp_path: Path) -> None:
    result = train_run(SMALL, tmp_path / "run")
    made = replace(result, commit="abc", torch="1.0", hardware="an abacus")
    row = make_row(resolved(SMALL), made, experiment="test")
    assert (row.result.commit, row.result.torch, row.result.hardware) == ("abc", "1.0", "an abacus")
    assert result.torch == torch.__version__
    assert "1 of" in result.hardware
    path = tmp_path / "ledger.jsonl"
    assert [append_row(path, row), append_row(path, row)] == [True, False]
    assert read_rows(path) == [row]


def test_a_ledger_that_is_a_folder_is_named(tmp_path: Path) -> None:
    row = make_row(resolved(SMALL), RESULT, experiment="test")
    with pytest.raises(al.CheckpointError, match=r"cannot be read; expected a ledger"):
        append_row(tmp_path, row)


def test_a_ledger_row_keeps_no_path() -> None:
    config = RunConfig(
        data="/mine/reviews.csv",
        test_data="/mine/test.csv",
        data_root="/mine/sets",
        vectors="/v/g.txt",
    )
    assert "/" not in json.dumps(make_row(resolved(config), RESULT, experiment="test").to_json())


def test_a_malformed_ledger_row_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text('{"experiment": "x"}\n')
    with pytest.raises(al.CheckpointError, match=r"ledger.jsonl, line 1 is no ledger row"):
        read_rows(path)


@pytest.mark.data
@pytest.mark.long
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

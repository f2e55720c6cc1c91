"""What a newcomer is told after the first run, and at which depth it answers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch.nn import functional as F

from associated_learning.cli.exits import _beside_one_depth
from associated_learning.runs.advice import advice
from associated_learning.runs.exits.report import ExitReport, OperatingPoint
from associated_learning.runs.folder.open_run import open_run
from associated_learning.runs.hub.pretrained import PretrainedModel
from associated_learning.runs.inputs import evaluation_batches, load_data
from associated_learning.runs.result import RunResult, read_result
from associated_learning.runs.run import read_config
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.settings.resolved import resolved
from associated_learning.runs.trainer import make_trainer
from associated_learning.state.files import read_json, write_json
from small_networks import dense_network
from test_cli import QUICK, al

GOOD = RunResult(
    test_scores=[0.8, 0.9],
    validation_scores=[0.8, 0.9],
    validation_curve=[[0.7, 0.6], [0.8, 0.9], [0.8, 0.9]],
    best_epoch=2,
    epochs=3,
    seconds=1.0,
    best_depth=2,
    largest_class=0.4,
)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, []),
        ({"largest_class": 0.9}, ["No depth is better than always answering the most frequent"]),
        ({"largest_class": None}, []),  # a result that is older than this
        (
            {"validation_scores": [0.95, 0.9], "best_depth": 1},
            ["Depth 1 of 2 is the best on the validation data, 0.9500 against 0.9000"],
        ),
        ({"validation_scores": [0.9, 0.9], "best_depth": 1}, []),
        (
            {"best_epoch": 3, "validation_curve": [[0.7, 0.6], [0.8, 0.7], [0.8, 0.9]]},
            ["still rose in the last epoch, 3: try --epochs 6"],
        ),
        ({"best_epoch": 3}, []),  # the last epoch is best by its loss alone
        (
            {"train_samples": 320, "epochs": 14},
            ["It ended after epoch 14 of 100: no better score of any depth for 5 epochs"],
        ),
        (
            {"train_samples": 320, "epochs": 100},
            ["At least 1,000 updates were made (--min-updates), which 100 epochs make of few rows"],
        ),
        (
            {"train_samples": 320, "epochs": 14, "best_by_loss": True},
            ["(--patience). Less loss at an equal score does not count."],
        ),
        ({"train_samples": 32_000, "epochs": 20}, []),
        (
            {"best_epoch": 1, "epochs": 1, "validation_curve": [[0.8, 0.9]]},
            ["still rose in the last epoch, 1: try --epochs 2"],
        ),
    ],
)
def test_the_summary_names_what_is_wrong(changed: dict[str, object], said: list[str]) -> None:
    lines = advice(resolved(RunConfig()), replace(GOOD, **changed))  # type: ignore[arg-type]
    assert len(lines) == len(said)
    for line, part in zip(lines, said, strict=True):
        assert part in line


@pytest.fixture
def lower(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """A run whose validation ranked depth 2 of 3 first."""
    folder = tmp_path / "run"
    code, out, _ = al("train", *QUICK, "--quiet", "--run-folder", str(folder), capsys=capsys)
    assert code == 0
    for line in advice(read_config(folder), read_result(folder) or GOOD):
        assert line in out
    write_json(folder / "result.json", {**read_json(folder / "result.json"), "best_depth": 2})
    return str(folder)


def test_the_depth_that_validation_ranked_first_answers(
    lower: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = str(tmp_path / "picture.png")
    Image.new("L", (8, 8), 128).save(picture)
    _, out, _ = al("predict", lower, picture, "--json", capsys=capsys)
    assert json.loads(out)["depth"] == 2
    _, out, _ = al("predict", lower, picture, "--depth", "3", "--json", capsys=capsys)
    assert json.loads(out)["depth"] == 3
    _, out, _ = al("info", lower, capsys=capsys)
    assert "Best on the validation data: depth 2, where predict answers" in out
    assert PretrainedModel.from_run(lower).depth == 2
    al("export", lower, str(tmp_path / "model.onnx"), capsys=capsys)
    assert json.loads((tmp_path / "model.json").read_text())["depth"] == 2


def test_probabilities_are_calibrated_on_the_validation_data(
    lower: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = read_json(Path(lower) / "temperatures.json")
    opened = open_run(Path(lower))
    batches = evaluation_batches(opened.config, load_data(opened.config), "validation")
    x, y = map(torch.cat, zip(*batches.epoch(0), strict=True))
    picture = tmp_path / "seven.png"
    pixels = load_digits().images[7]
    Image.fromarray((pixels * 255 / 16).round().astype("uint8")).save(picture)
    one = opened.preprocessor([str(picture)])
    for depth, temperature in enumerate(kept, start=1):
        with torch.no_grad():
            logits, output = opened.net(x, depth), opened.net(one, depth)
        plain, best = (F.cross_entropy(logits / t, y) for t in (1.0, temperature))
        assert best < plain
        asked = ["predict", lower, str(picture), "--depth", str(depth), "--json"]
        told = json.loads(al(*asked, capsys=capsys)[1])["probabilities"]
        expected = (output / temperature).softmax(1)[0].tolist()
        assert list(told.values()) == pytest.approx(expected, abs=1e-5)
        model = PretrainedModel.from_run(lower, depth)
        assert model.predict([str(picture)]).probabilities[0].tolist() == pytest.approx(
            expected, abs=1e-5
        )
        model.save_pretrained(tmp_path / f"at-{depth}")
        again = PretrainedModel.from_pretrained(tmp_path / f"at-{depth}")
        assert again.temperature == temperature
    write_json(Path(lower) / "temperatures.json", [0])
    code, _, err = al(*asked, capsys=capsys)
    assert code == 2
    assert "temperatures.json holds no temperature for depth 3" in err


def test_an_unfinished_run_answers_at_its_best_depth_so_far(lower: str) -> None:
    history = [
        json.loads(line) for line in (Path(lower) / "metrics.jsonl").read_text().splitlines()
    ]
    (Path(lower) / "result.json").unlink()
    best = max(history, key=lambda epoch: max(epoch["scores"]))
    depth = open_run(Path(lower)).best_depth
    assert best["scores"][depth - 1] == max(best["scores"])


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (("--label-column", "z"), "no column 'z'"),  # when the data are read
        (("--model", "cnn"), "reads images"),  # when the network is made
        (("--augment",), "for images"),
        (("--metric", "nope"), "metric 'nope'"),  # when training starts
        (("--freeze", "9"), "freeze=9"),
        (("--executor", "threads", "--stages", "9"), "stages=9"),
        (("--executor", "offload", "--memory", "1MiB"), "memory=1.0 MiB"),
    ],
)
def test_of_a_run_that_is_refused_nothing_is_left_and_nothing_said(
    refused: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ok.csv").write_text("\n".join(["x,label", *(f"{i},{i % 2}" for i in range(60))]))
    words = ("train", "--data", "ok.csv", "--model", "mlp", "--epochs", "1", "--threads", "1")
    code, out, err = al(*words, *refused, capsys=capsys)
    assert code == 2
    assert message in err
    assert out.strip() in ("", "Reading ok.csv ...")
    assert [path.name for path in Path().iterdir()] == ["ok.csv"]


@pytest.mark.parametrize(
    ("early", "said"),
    [
        ((0.89, 80.0), "the single depth wins. Use it, as al predict does by default."),
        ((0.89, 40.0), "it is more often right, early exit is cheaper."),
        ((0.93, 80.0), "it is cheaper, early exit is more often right."),
        ((0.93, 40.0), "early exit wins."),
    ],
)
def test_early_exit_is_held_against_the_best_single_depth(
    lower: str, early: tuple[float, float], said: str
) -> None:
    def point(accuracy: float, flops: float) -> OperatingPoint:
        return OperatingPoint(accuracy, flops, {})

    report = ExitReport(
        tuned=None,  # type: ignore[arg-type]
        outcome=None,  # type: ignore[arg-type]
        adaptive=point(*early),
        depths=(point(0.5, 20.0), point(0.9, 60.0), point(0.88, 100.0)),
        budgets=(),
        backprop=None,
    )
    line = _beside_one_depth(open_run(Path(lower)), report)
    assert line.startswith("Depth 2 alone, the best on the validation data, has 0.9000 at 60 %")
    assert line.endswith(said)


def test_the_paper_and_everybody_else_have_their_own_defaults() -> None:
    for model in ("mlp", "cnn", "vgg", "bilstm", "transformer"):
        for method in ("al", "bp"):
            found = resolved(RunConfig(model=model, method=method))
            assert (found.lr, found.batch_size, found.min_updates) == (1e-3, 32, 1000)
            assert (found.judge, found.schedule) == ("any", "cosine")
            paper = resolved(RunConfig(model=model, method=method, preset="paper"))
            assert (paper.min_updates, paper.judge) == (0, "full")
    assert resolved(RunConfig(epochs=3)).min_updates == 0
    assert resolved(RunConfig(epochs=3, min_updates=50)).min_updates == 50


def test_few_texts_stop_long_before_the_least_number_of_updates() -> None:
    """Unless somebody asks for so many; epochs and their rates are those of the whole length."""
    for settings, patience, least in (
        ({"model": "bilstm"}, 50, 0),
        ({"model": "bilstm", "patience": 60}, 60, 0),
        ({"model": "bilstm", "min_updates": 1000}, 5, 1000),
        ({"model": "mlp"}, 5, 1000),
    ):
        made = make_trainer(resolved(RunConfig(**settings)), 5, dense_network(2))
        assert (made.epochs, made.patience, made.min_updates) == (200, patience, least)
    assert resolved(RunConfig(model="bilstm", epochs=3)).patience_updates == 0
    assert resolved(RunConfig(model="bilstm", preset="paper")).patience_updates == 0


def test_late_layers_of_a_growing_network_have_a_rate_left() -> None:
    grown = resolved(RunConfig(num_layers=4, grow_from=1))
    assert (grown.schedule, grown.warmup, grown.epochs, grown.patience) == ("constant", 0.0, 100, 0)

"""Runs that tell a number: decided by the label column, scored and answered in its units."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from sklearn.preprocessing import StandardScaler

import associated_learning as al
from associated_learning.data import load
from associated_learning.data.labels.target_numbers import are_numbers, target_numbers
from associated_learning.runs.deployment import description
from associated_learning.runs.hub.pretrained import PretrainedModel
from associated_learning.runs.run import train_run
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.tasks.deciding import decided
from commands import run_al


def written(folder: Path) -> tuple[Path, Path]:
    """Write scikit-learn's diabetes data, whose targets are whole numbers from 25 to 346."""
    x, y = load_diabetes(return_X_y=True)
    rows = [[*map(repr, map(float, row)), int(label)] for row, label in zip(x, y, strict=True)]
    names = [*(f"x{i}" for i in range(x.shape[1])), "progression"]
    files = folder / "train.csv", folder / "test.csv"
    for file, some in zip(files, (rows[:300], rows[300:]), strict=True):
        with file.open("w", newline="") as opened:
            csv.writer(opened).writerows([names, *some])
    return files


@pytest.mark.parametrize("method", ["al", "bp"])
def test_scores_and_answers_are_in_the_users_units(method: str, tmp_path: Path) -> None:
    """R², MAE and RMSE are those of scikit-learn on the numbers that `al predict` gives."""
    train, test = written(tmp_path)
    run = str(tmp_path / "run")
    words = ["--label-column", "progression", "--model", "mlp", "--hidden", "16", "--epochs", "20"]
    printed = run_al(
        "train", "--data", str(train), "--test-data", str(test), *words,
        "--method", method, "--run-folder", run, "--lr", "0.01",
    )  # fmt: skip
    with train.open() as file:
        different = len({int(row["progression"]) for row in csv.DictReader(file)})
    assert (
        f"'progression' has {different} different numbers, so this is a regression task" in printed
    )
    assert "R² in the best epoch" in printed
    told = json.loads(run_al("evaluate", run, "--json"))
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    with test.open() as file:
        y = np.array([float(row["progression"]) for row in csv.DictReader(file)])
    for depth in told["r2"]:
        answered = run_al("predict", run, "--file", test, "--depth", depth, "--json")
        numbers = [json.loads(line)["label"] for line in answered.splitlines()]
        assert told["r2"][depth] == pytest.approx(r2_score(y, numbers), abs=1e-5)
        assert told["mae"][depth] == pytest.approx(mean_absolute_error(y, numbers), rel=1e-5)
        assert told["rmse"][depth] == pytest.approx(root_mean_squared_error(y, numbers), rel=1e-5)
        assert result["test_scores"][int(depth) - 1] == pytest.approx(told["r2"][depth], abs=1e-6)
    assert max(result["validation_scores"]) > 0.2  # 0 is always answering the mean
    assert result["largest_class"] is None
    for option, message in (("--confusion", "for one class"), ("--exits", "how sure an exit is")):
        with pytest.raises(al.InputError, match=message):
            run_al("evaluate", run, option)


def test_targets_are_standardised_by_the_training_split(tmp_path: Path) -> None:
    train, test = written(tmp_path)
    data = load(train, test_data=test, label_column="progression", task="regression")
    assert data.target_scale is not None
    values = data.target_scale.in_units(data.train.labels).numpy()
    scaler = StandardScaler().fit(values[:, None])
    for split in (data.train, data.test):
        back = data.target_scale.in_units(split.labels).numpy()
        assert split.labels.numpy() == pytest.approx(
            scaler.transform(back[:, None])[:, 0], abs=1e-5
        )
        assert back == pytest.approx(back.round(), abs=1e-4)  # they were whole numbers
    assert len(data.train) + len(data.validation) == 300


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        ([1.5, 2.0, 3.0], True),
        (list(range(200)), True),  # an amount a row
        ([0, 1, 2, 0, 1], False),
        ([1, 5, 3, 5, 1], False),  # stars
        (list(range(77)) * 15, False),  # numbered classes
        ([10 * i for i in range(77)] * 15, True),  # numbers that count nothing
        (["1.5", "2"], False),
        ([True, False], False),
        ([None, 2.5], True),
    ],
)
def test_numbers_are_told_from_classes(values: list[Any], numbers: bool) -> None:
    assert are_numbers(values) == numbers


def test_a_task_that_is_named_is_not_decided(tmp_path: Path) -> None:
    train, _ = written(tmp_path)
    asked = RunConfig(data=str(train), label_column="progression", task="classification")
    assert decided(asked) == (asked, None)
    assert decided(RunConfig(data=str(train), label_column="progression"))[0].task == "regression"
    config, line = decided(RunConfig(data=str(train), label_column="x1"))  # two values: sexes
    assert config.task == "regression"  # of fractions, as they are standardised there
    assert line is not None


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (None, "missing"),
        (float("nan"), "missing"),
        (float("inf"), "inf"),
        ("a", "'a'"),
        (True, "T"),
    ],
)
def test_targets_that_are_no_numbers_are_told_by_row(value: object, what: str) -> None:
    with pytest.raises(al.InputError, match=rf"the target of row 1 of the file is {what}"):
        target_numbers([1.0, value], "the file")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"label_noise": 0.1}, "--task regression has no classes"),
        ({"class_weight": "balanced"}, "--task regression has no classes"),
        ({"grow_from": 1}, "by the rules of accuracies"),
        ({"data": "digits"}, "whose labels are classes; expected a CSV"),
    ],
)
def test_what_is_of_classes_is_refused(
    setting: dict[str, Any], message: str, tmp_path: Path
) -> None:
    train, _ = written(tmp_path)
    options = {"data": str(train), "label_column": "progression", "task": "regression", **setting}
    with pytest.raises(al.InputError, match=message):
        train_run(RunConfig(**options), tmp_path / "run")


def test_a_column_of_one_number_is_refused(tmp_path: Path) -> None:
    (tmp_path / "flat.csv").write_text("x,label\n" + "".join(f"{i},2.5\n" for i in range(20)))
    with pytest.raises(al.InputError, match=r"all training targets are 2\.5: expected different"):
        load(tmp_path / "flat.csv", task="regression")


def test_an_export_answers_in_the_users_units(tmp_path: Path) -> None:
    """The runner beside it says what `al predict` says; its JSON keeps to the schema."""
    train, test = written(tmp_path)
    options = {"data": str(train), "label_column": "progression", "hidden": 8, "epochs": 2}
    train_run(RunConfig(**options), tmp_path / "run")  # type: ignore[arg-type]
    to = tmp_path / "diabetes.onnx"
    run_al("export", str(tmp_path / "run"), str(to), "--depth", "2")
    schema = Path(description.__file__).with_name("schema.json")
    jsonschema.validate(
        json.loads(to.with_suffix(".json").read_text()), json.loads(schema.read_text())
    )
    told = run_al("predict", str(tmp_path / "run"), "--file", str(test), "--depth", "2", "--json")
    by_run = [json.loads(line) for line in told.splitlines()]
    runner = to.with_name("diabetes_runner.py")
    assert len(runner.read_text().splitlines()) <= 60
    asked = [answer["input"] for answer in by_run]
    ended = subprocess.run(
        [sys.executable, str(runner)], input="\n".join(asked), capture_output=True, text=True
    )
    by_runner = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [",".join(answer["input"].values()) for answer in by_runner] == asked
    assert all(answer["probabilities"] is None for answer in by_runner)
    expected = [answer["label"] for answer in by_run]
    assert [answer["label"] for answer in by_runner] == pytest.approx(expected, rel=1e-5)
    run_al("export", str(tmp_path / "run"), str(tmp_path / "folder"), "--depth", "2")
    model = PretrainedModel.from_pretrained(tmp_path / "folder")
    rows = [list(map(float, line.split(","))) for line in asked]
    assert model.label(rows) == pytest.approx(expected, rel=1e-5)
    card = (tmp_path / "folder" / "README.md").read_text()
    assert "pipeline_tag: tabular-regression" in card
    assert "| test R² |" in card


@pytest.mark.filterwarnings("ignore:numbers are missing in 'size'")
def test_categories_and_gaps_reach_predictions_and_exports(tmp_path: Path) -> None:
    """A price by district and size: learned, and the same by run and runner, gaps included."""
    draw = np.random.default_rng(0)
    base = {"north": 10.0, "old town": 30.0, "port": -20.0}
    rows = []
    for _ in range(400):
        district, size = str(draw.choice(list(base))), float(draw.uniform(1, 9))
        price = base[district] + 5 * size + draw.normal()
        rows.append([district, "" if draw.random() < 0.1 else f"{size:.3f}", f"{price:.2f}"])
    for name, some in (("train.csv", rows[:300]), ("test.csv", rows[300:])):
        with (tmp_path / name).open("w", newline="") as opened:
            csv.writer(opened).writerows([["district", "size", "price"], *some])
    run, test = str(tmp_path / "run"), str(tmp_path / "test.csv")
    run_al(
        "train", "--data", str(tmp_path / "train.csv"), "--test-data", test, "--model",
        "mlp", "--label-column", "price", "--hidden", "16", "--lr", "0.01", "--epochs", "20",
        "--run-folder", run,
    )  # fmt: skip
    assert max(json.loads(run_al("evaluate", run, "--json"))["r2"].values()) > 0.8
    answered = run_al("predict", run, "--file", test, "--json").splitlines()
    to = tmp_path / "prices.onnx"
    run_al("export", run, to)
    asked = [json.loads(line)["input"] for line in answered] + ["nowhere,3"]
    runner = [sys.executable, str(to.with_name("prices_runner.py"))]
    ended = subprocess.run(runner, input="\n".join(asked), capture_output=True, text=True)
    by_runner = [json.loads(line)["label"] for line in ended.stdout.splitlines()]
    by_run = [json.loads(line)["label"] for line in answered]
    with pytest.warns(UserWarning, match="1 row holds a 'district' that training did not see"):
        by_run += [json.loads(run_al("predict", run, "nowhere,3", "--json"))["label"]]
    assert by_runner == pytest.approx(by_run, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("command", ["verify", "plan"])
def test_other_commands_decide_a_task_as_training_does(command: str, tmp_path: Path) -> None:
    """Thirty different numbers, each once, are no thirty classes of one sample."""
    file = tmp_path / "prices.csv"
    file.write_text("size,price\n" + "".join(f"{i},{i}.5\n" for i in range(30)), encoding="utf-8")
    of_data = ["--data", str(file), "--label-column", "price"]
    if command == "plan":
        assert "33,793" in run_al("plan", "mlp", *of_data)
    else:
        two = ["--model", "mlp", "--executor", "threads", "--stages", "2", "--steps", "2"]
        assert "the same bits" in run_al("verify", "pipeline", *of_data, *two)

"""Runs that tell several labels a sample, from each form in which people have them."""

from __future__ import annotations

import csv
import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from sklearn.datasets import make_multilabel_classification
from sklearn.metrics import f1_score
from sklearn.preprocessing import MultiLabelBinarizer
from torch.nn import functional as F

import associated_learning as al
from associated_learning.data import load
from associated_learning.data.labels.label_sets import label_matrix, set_names
from associated_learning.runs.deployment import description
from associated_learning.runs.folder.open_run import open_run
from associated_learning.runs.hub.pretrained import PretrainedModel
from associated_learning.runs.inputs import evaluation_batches, load_data
from associated_learning.runs.run import train_run
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.tasks.deciding import decided
from associated_learning.state.files import read_json
from commands import run_al

TRAIN = 180
NAMES = ("big", "old", "red", "round")
FEATURES = tuple(f"x{i}" for i in range(8))


@functools.cache  # scikit-learn takes a second to draw them
def drawn() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    found: tuple[Any, Any] = make_multilabel_classification(
        n_samples=240, n_features=8, n_classes=4, n_labels=2, random_state=1
    )
    return found


def written(folder: Path, form: str) -> tuple[str, str]:
    """Write training and test rows with lists, with texts or with a column for each label."""
    return _file(folder, form, "train", slice(TRAIN)), _file(
        folder, form, "test", slice(TRAIN, None)
    )


def _file(folder: Path, form: str, name: str, rows: slice) -> str:
    x, y = (array[rows].tolist() for array in drawn())
    sets = [[name for name, held in zip(NAMES, row, strict=True) if held] for row in y]
    path = folder / f"{name}.{'jsonl' if form == 'lists' else 'csv'}"
    if form == "lists":
        lines = [
            {**dict(zip(FEATURES, a, strict=True)), "tags": b} for a, b in zip(x, sets, strict=True)
        ]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return str(path)
    ends = y if form == "columns" else [["|".join(of)] for of in sets]
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow((*FEATURES, *(NAMES if form == "columns" else ("tags",))))
        out.writerows([*a, *b] for a, b in zip(x, ends, strict=True))
    return str(path)


@pytest.mark.parametrize(
    ("form", "column"), [("lists", "tags"), ("texts", "tags"), ("columns", "big,old, red,round")]
)
def test_every_form_gives_the_same_labels(form: str, column: str, tmp_path: Path) -> None:
    train, test = written(tmp_path, form)
    data = load(train, test_data=test, label_column=column, task="multilabel")
    assert data.label_names == NAMES
    y = torch.tensor(drawn()[1])
    assert torch.equal(data.test.labels, y[TRAIN:].float())
    both = data.train.labels.sum(0) + data.validation.labels.sum(0)
    assert torch.equal(both, y[:TRAIN].sum(0).float())


def test_sets_are_those_of_scikit_learn() -> None:
    sets = [["b", "a"], [], ["c"], ["a", "c", "b"]]
    binarizer = MultiLabelBinarizer()
    expected = binarizer.fit_transform(sets)
    names = set_names(sets)
    assert names == tuple(binarizer.classes_)
    assert label_matrix({"x": sets}, names, "it").tolist() == expected.tolist()
    texts = [";".join(labels) or None for labels in sets]
    assert label_matrix({"x": texts}, set_names(texts), "it").tolist() == expected.tolist()


@pytest.mark.parametrize("method", ["al", "bp"])
def test_a_run_from_lists_to_its_runner(method: str, tmp_path: Path) -> None:
    """Decided and said; F1 is scikit-learn's on what `al predict` says; a runner says the same."""
    (train, test), run = written(tmp_path, "lists"), str(tmp_path / "run")
    printed = run_al(
        "train", "--data", train, "--test-data", test, "--label-column", "tags",
        "--model", "mlp", "--hidden", "16", "--epochs", "4", "--lr", "0.01", "--method", method,
        "--metric", "f1", "--class-weight", "balanced", "--run-folder", run,
    )  # fmt: skip
    assert "'tags' holds lists, so this is a multilabel task." in printed
    assert "f1 in the best epoch" in printed
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    told = json.loads(run_al("evaluate", run, "--json"))
    x, y = (array[TRAIN:] for array in drawn())
    answers = []
    for depth, score in enumerate(result["test_scores"], start=1):
        asked = ("predict", run, "--file", test, "--depth", str(depth), "--json")
        answers = [json.loads(line) for line in run_al(*asked).splitlines()]
        held = [[name in answer["label"] for name in NAMES] for answer in answers]
        assert [[answer["probabilities"][n] > 0.5 for n in NAMES] for answer in answers] == held
        expected = f1_score(y, np.array(held), average="macro", zero_division=0)
        assert score == pytest.approx(expected, abs=1e-6)
        assert told["f1"][str(depth)] == pytest.approx(score, abs=1e-6)
        right = float((np.array(held) == y).mean())
        assert told["label accuracy"][str(depth)] == pytest.approx(right, abs=1e-6)
    if method == "bp":  # exports do not ask how a network was trained
        return
    to = str(tmp_path / "net.onnx")
    run_al("export", run, to, "--depth", str(len(result["test_scores"])))
    exported = json.loads((tmp_path / "net.json").read_text())
    schema = json.loads((Path(description.__file__).parent / "schema.json").read_text())
    jsonschema.validate(exported, schema)
    opened, (*_, kept) = open_run(Path(run)), read_json(tmp_path / "run" / "temperatures.json")
    batches = evaluation_batches(opened.config, load_data(opened.config), "validation").epoch(0)
    losses = torch.zeros(2)  # as they come, and calibrated
    for batch, labels in batches:
        with torch.no_grad():
            logits = opened.net(batch)
        loss = F.binary_cross_entropy_with_logits
        losses += torch.tensor([float(loss(logits / t, labels)) for t in (1, kept)])
    assert losses[1] < losses[0]
    with torch.no_grad():
        expected = (opened.net(opened.preprocessor(x.tolist())) / kept).sigmoid()
    told = torch.tensor([[answer["probabilities"][n] for n in NAMES] for answer in answers])
    torch.testing.assert_close(told, expected, atol=1e-5, rtol=1e-5)
    lines = [",".join(map(repr, row)) for row in x[:5].tolist()]
    ran = subprocess.run(
        [sys.executable, str(tmp_path / "net_runner.py")],
        input="\n".join(lines), capture_output=True, text=True, check=True,
    )  # fmt: skip
    run_al("export", run, str(tmp_path / "hub"), "--depth", str(len(result["test_scores"])))
    model = PretrainedModel.from_pretrained(tmp_path / "hub")
    assert model.label(x.tolist()) == [answer["label"] for answer in answers]
    assert "| labels | big, old, red, round |" in (tmp_path / "hub" / "README.md").read_text()
    for line, answer in zip(ran.stdout.splitlines(), answers, strict=False):
        own = json.loads(line)
        assert own["label"] == answer["label"]
        assert own["probabilities"] == pytest.approx(answer["probabilities"], abs=1e-5)


def test_what_one_class_alone_has_is_refused(tmp_path: Path) -> None:
    (path, _), run = written(tmp_path, "columns"), tmp_path / "run"
    columns = ",".join(NAMES)
    config, line = decided(RunConfig(data=path, label_column=columns, epochs=1))
    assert (config.task, line) == (
        "multilabel",
        f"{columns!r} are several columns, so this is a multilabel task.",
    )
    result = train_run(config, run)
    y = load(path, label_column=columns, task="multilabel").validation.labels.numpy()
    usual = np.median(y, axis=0).round()
    assert result.largest_class == pytest.approx((y == usual).mean())
    assert result.answers is None
    asked = ("train", "--data", path, "--label-column", columns)
    for words, message in (
        (("evaluate", str(run), "--confusion"), "one class a sample"),
        (("evaluate", str(run), "--exits"), "sure at different depths"),
        (("train", "--task", "multilabel", "--label-smoothing", "0.1"), "several labels a sample"),
        (("train", "--task", "regression", "--metric", "mae"), "best R²"),
        ((*asked, "--ledger", "l.jsonl"), "holds accuracies"),
    ):
        with pytest.raises(al.InputError, match=message):
            run_al(*words)


@pytest.mark.parametrize(
    ("columns", "names", "message"),
    [
        (
            {"a": [["x", "x"]]},
            ("x",),
            r"row 0 of it are \['x', 'x'\]: expected a list",
        ),
        ({"a": [["x"], [1.5]]}, ("x",), r"row 1 of it are \[1.5\]"),
        ({"a": [["x"], "y"]}, ("x",), "row 1 of it has the label 'y'"),
        (
            {"a": [1, 0], "b": [0, 2]},
            ("a", "b"),
            "row 1 of it, column 'b': the label is 2; expected 0",
        ),
    ],
)
def test_labels_that_are_none_are_told_by_row(
    columns: dict[str, list[Any]], names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(al.InputError, match=message):
        label_matrix(columns, names, "it")


def test_no_label_at_all_is_refused() -> None:
    with pytest.raises(al.InputError, match="no training sample has a label"):
        set_names([[], None, ""])

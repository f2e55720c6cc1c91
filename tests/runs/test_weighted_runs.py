"""--weight-column: what each row of the user's own file counts in training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import associated_learning as al
from associated_learning.data import load
from associated_learning.runs.inputs import load_data, training_batches
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.settings.resolved import resolved
from commands import run_al


def test_weights_follow_their_rows_into_the_training_split(tmp_path: Path) -> None:
    path = tmp_path / "w.csv"
    path.write_text("\n".join(["x,weight,label", *(f"{i},{i},{'ab'[i % 2]}" for i in range(90))]))
    data = load(path, weight_column="weight", limit_train=40, cache_dir=tmp_path / "cache")
    assert data.preprocessing["columns"] == ["x"]
    (mean,), (std,) = data.preprocessing["mean"], data.preprocessing["std"]
    x = data.train.take(torch.arange(40))
    assert isinstance(x, torch.Tensor)
    assert data.train_weights is not None
    torch.testing.assert_close(
        (x * std + mean).flatten().double(), data.train_weights, atol=1e-4, rtol=0
    )
    config = resolved(RunConfig(data=str(path), model="mlp", weight_column="weight", batch_size=8))
    own = load_data(config)
    assert own.train_weights is not None
    drawn = [training_batches(config, own).order(epoch) for epoch in range(400)]
    counts = torch.cat(drawn).bincount(minlength=len(own.train)).double() / 400
    torch.testing.assert_close(
        counts, own.train_weights / own.train_weights.mean(), atol=0.1, rtol=0.1
    )


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("heavy", ["a", "b"])
def test_of_contradictory_rows_the_heavy_ones_are_learnt(
    heavy: str, kind: str, tmp_path: Path
) -> None:
    """A table and texts: each input stands there with both labels; the weights say which holds."""
    rows = [
        {"text": f"word{i % 2}", "label": label, "w": 9 if (label == heavy) == (i % 2 == 0) else 1}
        for i in range(60)
        for label in "ab"
    ]
    path, run = tmp_path / f"w.{kind}", tmp_path / "run"
    lines = [",".join(map(str, row.values())) for row in rows]
    text = ["text,label,w", *lines] if kind == "csv" else list(map(json.dumps, rows))
    path.write_text("\n".join(text))
    model = ("mlp", "--feature-columns", "text") if kind == "csv" else ("bilstm",)
    run_al(
        "train", "--data", path, "--model", *model, "--weight-column", "w", "--hidden", 8,
        "--epochs", 1, "--batch-size", 4, "--lr", 0.02, "--quiet", "--run-folder", run,
    )  # fmt: skip  # one epoch, as the validation rows, which all count the same, would rank two
    asked = tmp_path / f"ask.{kind}"  # a file that has the column still
    asked.write_text("\n".join(text[: 5 if kind == "csv" else 4]))
    answers = map(json.loads, run_al("predict", run, "--file", asked, "--json").splitlines())
    light = "b" if heavy == "a" else "a"
    assert [answer["label"] for answer in answers] == [heavy, heavy, light, light]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"weight_column": "bad"}, r"the weight of line 3 of .*w\.csv is -1: expected a finite"),
        ({"weight_column": "none"}, "all weights of the train split are 0"),
        ({"weight_column": "z"}, "has no column 'z'"),
        ({"weight_column": "label"}, "'label' came both"),
        ({"weight_column": "bad", "feature_columns": ["x", "bad"]}, "'bad' came both"),
    ],
)
def test_weights_that_are_none_are_told_by_line(
    asked: dict[str, object], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "w.csv"
    path.write_text("x,bad,none,label\n1,2,0,a\n2,-1,0,b\n3,1,0,a\n")
    with pytest.raises(al.InputError, match=message):
        load(path, cache_dir=tmp_path / "cache", **asked)  # type: ignore[arg-type]
    with pytest.raises(al.InputError, match="came for digits"):
        load("digits", weight_column="w")

"""``al evaluate --confusion`` counts as scikit-learn does, and shows it in a terminal's width."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix

import associated_learning as al
from associated_learning.data import load
from associated_learning.runs.folder.open_run import open_run
from associated_learning.runs.run import train_run
from associated_learning.runs.settings.config import RunConfig
from commands import run_al

NAMES = ["setosa", "a very long name of a class", "<b>\x1b[31m", "d"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flowers")
    draw = np.random.default_rng(0)
    x = draw.normal(size=(120, 2))
    rows = [f"{a},{b},{NAMES[2 * (a > 0) + (b + 0.5 * a > 0)]}" for a, b in x]
    (folder / "flowers.csv").write_text("\n".join(["a,b,label", *rows]))
    config = RunConfig(data=str(folder / "flowers.csv"), epochs=2, hidden=8, latent=8)
    train_run(config, folder / "run")
    return folder / "run"


def test_counts_are_scikit_learns(run: Path) -> None:
    told = json.loads(run_al("evaluate", run, "--confusion", "--depth", "1", "--json"))
    opened = open_run(run)
    data = load(opened.config.data)
    x = data.test.take(torch.arange(len(data.test)))
    answers = opened.net.predict(x, 1).labels
    assert told["labels"] == list(data.label_names)
    expected = confusion_matrix(data.test.labels, answers, labels=range(4))
    assert told["confusion"] == expected.tolist()


def test_the_table_shows_names_and_recall(run: Path) -> None:
    told = json.loads(run_al("evaluate", run, "--confusion", "--json"))
    counts = np.array(told["confusion"])
    printed = run_al("evaluate", run, "--confusion")
    assert f"{counts.trace()} of {counts.sum()} right" in printed
    assert "\x1b[31m" not in printed  # a label never reaches the terminal as it is
    assert "a very long…" in printed
    body = [line for line in printed.splitlines() if line.startswith("│")]
    assert len(body) == len(counts)
    for i, (line, row) in enumerate(zip(body, counts, strict=True)):
        cells = [cell.strip() for cell in line.strip("│").split("│")]
        assert cells[1:-1] == [str(count) for count in row]
        assert cells[-1] == (f"{row[i] / row.sum():.3f}" if row.sum() else "")


def test_it_is_for_classes_of_samples(run: Path) -> None:
    with pytest.raises(al.InputError, match="--exits and --confusion came"):
        run_al("evaluate", run, "--confusion", "--exits")

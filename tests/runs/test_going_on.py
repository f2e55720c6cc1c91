"""Runs that go on for more epochs, and folders that are given to another run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import associated_learning as al
from associated_learning.runs.folder.going_on import lengthen, overwritten
from associated_learning.runs.folder.watch import sole_training
from associated_learning.runs.run import read_config, train_run
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.settings.resolved import resolved
from commands import run_al
from faults import InterruptAt

SHORT = RunConfig(
    hidden=8, num_layers=2, latent=8, limit_train=160, epochs=2, patience=0, schedule="constant",
    warmup=0.0, dropout=0.1,
)  # fmt: skip
LONG = replace(SHORT, epochs=4)


def bits(folder: Path) -> dict[str, bytes]:
    """Return weights and optimizers of the last and the best epoch, and what came out."""
    files = sorted((folder / "checkpoints").glob("*-*/*.safetensors"))
    found = {"/".join(file.parts[-2:]): file.read_bytes() for file in files}
    result = json.loads((folder / "result.json").read_text())
    scores = {name: result[name] for name in ("test_scores", "validation_curve", "best_epoch")}
    return found | {"result": json.dumps(scores).encode()}


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("long")
    train_run(LONG, folder)
    return bits(folder)


def test_a_finished_run_goes_on_to_the_bits_of_a_longer_one(
    long: dict[str, bytes], tmp_path: Path
) -> None:
    """At a constant rate; also where it was killed as it went on."""
    train_run(SHORT, tmp_path)
    (tmp_path / "exits.json").write_text("{}")
    of_other_weights = [tmp_path / f"{name}.json" for name in ("result", "temperatures", "exits")]
    assert all(file.exists() for file in of_other_weights)
    with pytest.raises(KeyboardInterrupt):
        train_run(LONG, tmp_path, callbacks=[InterruptAt(13)])
    assert not any(file.exists() for file in of_other_weights)
    train_run(LONG, tmp_path)
    assert bits(tmp_path) == long
    assert read_config(tmp_path).epochs == 4


def test_after_any_kill_a_run_is_of_one_length(
    long: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its result and its settings: a short command ends it, a long one goes on."""
    first = train_run(SHORT, tmp_path)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("associated_learning.runs.folder.going_on.write_json", killed)
        lengthen(resolved(LONG), tmp_path)
    again = train_run(SHORT, tmp_path)
    assert again.test_scores == first.test_scores
    train_run(LONG, tmp_path)
    assert bits(tmp_path) == long


def test_patience_counts_anew_where_a_run_goes_on(tmp_path: Path) -> None:
    """However it ended: so many epochs at least, and the same command twice is the same run."""
    short = replace(SHORT, epochs=30, patience=1, lr=0.5)
    ended = train_run(short, tmp_path).epochs
    assert ended < 30
    longer = replace(short, epochs=60)
    with pytest.raises(al.InputError, match=r"--epochs 30, trained for \d+, and not 20 of"):
        train_run(replace(short, epochs=20), tmp_path)
    with pytest.raises(al.InputError, match="not 30 of at least 500 updates"):
        train_run(replace(short, min_updates=500), tmp_path)
    with pytest.raises(al.InputError, match="--seed 1 now, 0 there"):
        train_run(replace(longer, seed=1), tmp_path)
    result = train_run(longer, tmp_path)
    assert result.epochs > ended
    assert train_run(longer, tmp_path) == result
    assert train_run(replace(longer, epochs=90, patience=3), tmp_path).epochs >= result.epochs + 3


def test_a_run_goes_on_for_no_more_epochs_than_asked_for(tmp_path: Path) -> None:
    patient = replace(SHORT, patience=6, min_updates=0)
    assert train_run(replace(patient, epochs=1), tmp_path).epochs == 1
    assert train_run(replace(patient, epochs=3), tmp_path).epochs == 3


def test_resume_takes_more_epochs(long: dict[str, bytes], tmp_path: Path) -> None:
    train_run(SHORT, tmp_path)
    run_al("train", "--resume", tmp_path, "--epochs", "4", "--quiet")
    assert bits(tmp_path) == long


def test_overwrite_removes_a_run_and_nothing_else(tmp_path: Path) -> None:
    folder, other = tmp_path / "run", tmp_path / "other"
    words = ("train", "--model", "mlp", "--hidden", "8", "--limit-train", "160", "--epochs", "1")
    assert f"digits, mlp by AL: begins in {folder}" in run_al(*words, "--run-folder", folder)
    shown = " ".join(run_al(*words, "--run-folder", folder).split())
    assert "Nothing was left to train" in shown
    assert "begins" not in shown
    new = (*words, "--seed", "1", "--quiet", "--overwrite", "--run-folder")
    run_al(*new, folder)
    assert read_config(folder).seed == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    with pytest.raises(al.InputError, match="freeze=9"):  # the old run is there again
        run_al(*new, folder, "--freeze", "9")
    assert read_config(folder).seed == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    with pytest.raises(KeyboardInterrupt), overwritten(folder):
        raise KeyboardInterrupt  # before there is a new one
    assert read_config(folder).seed == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    other.mkdir()
    (other / "thesis.tex").write_text("kept")
    with pytest.raises(al.InputError, match="holds no whole run"):
        run_al(*new, other)
    assert (other / "thesis.tex").read_text() == "kept"
    with sole_training(folder), pytest.raises(al.InputError, match="is being trained by process"):
        run_al(*new, folder)
    with pytest.raises(al.InputError, match="which would remove it"):
        run_al("train", "--resume", folder, "--overwrite")
    assert (folder / "result.json").exists()

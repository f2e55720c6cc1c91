"""The search for settings: as many for each method, on validation data, killed and gone on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import associated_learning as al
from associated_learning.data import load
from associated_learning.runs.run import train_run
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.tuning.search import search
from associated_learning.runs.tuning.space import Choices, Range, of_method, parsed_space
from commands import run_al

CONFIG = RunConfig(hidden=8, num_layers=2, latent=8, epochs=2, limit_train=160)
SPACE = parsed_space(["lr=1e-3..1e-1", "batch_size=16,32,64"])


class Unread:
    """Test samples that nobody may look at."""

    def to(self, device: Any) -> Unread:
        return self

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the test data were read: {name}")


def data() -> Any:
    return replace(load("digits", limit_train=160), test=Unread())


@pytest.mark.parametrize("method", ["al", "bp"])
def test_the_best_settings_reach_their_score(method: str, tmp_path: Path) -> None:
    """A run with them has the validation score that was found, at the depth that was found."""
    found = search(of_method(CONFIG, method), SPACE, data(), trials=4, journal=tmp_path / "journal")
    assert found.tried == 4
    values = [
        json.loads(line)["values"][0]
        for line in (tmp_path / "journal").read_text().splitlines()
        if json.loads(line).get("values")
    ]
    assert found.score == max(values)
    result = train_run(replace(of_method(CONFIG, method), **found.settings), tmp_path / "run")
    assert max(result.validation_scores) == found.score
    assert result.best_depth == found.depth


def test_a_killed_search_goes_on(tmp_path: Path) -> None:
    """What was tried to its end is not tried again, and the number is that which was asked for."""
    seen: list[int] = []

    def told(number: int) -> None:
        seen.append(number)
        if len(seen) == 2:
            raise KeyboardInterrupt

    journal = tmp_path / "journal"
    with pytest.raises(KeyboardInterrupt):
        search(CONFIG, SPACE, data(), trials=4, journal=journal, told=told)
    found = search(CONFIG, SPACE, data(), trials=4, journal=journal, told=seen.append)
    assert seen == [1, 2, 3, 4]
    assert found.tried == 4
    assert search(CONFIG, SPACE, data(), trials=3, journal=journal, told=seen.append) == found
    assert len(seen) == 4


def test_a_try_that_was_killed_in_its_training_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is left in the journal as under way, and does not count."""
    journal, seen = tmp_path / "journal", list[int]()

    def killed(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("associated_learning.runs.tuning.search.make_trainer", killed)
        search(CONFIG, SPACE, data(), trials=2, journal=journal)
    found = search(CONFIG, SPACE, data(), trials=2, journal=journal, told=seen.append)
    assert (seen, found.tried) == ([1, 2], 2)


def test_a_loss_that_is_not_finite_counts_as_a_try(tmp_path: Path) -> None:
    wild = parsed_space(["lr=1e30,1e35"])
    config = replace(CONFIG, clip=0.0, optimizer="sgd")
    with pytest.raises(al.InputError, match="all 2 settings were given up"):
        search(config, wild, data(), trials=2, journal=tmp_path / "journal")


def test_spaces_are_read_as_they_are_written() -> None:
    space = parsed_space(["--batch-size=16..64", "dropout=0,0.2", "schedule=cosine,constant"])
    assert space == {
        "batch_size": Range(16, 64, whole=True),
        "dropout": Choices((0.0, 0.2)),
        "schedule": Choices(("cosine", "constant")),
    }
    assert set(parsed_space(["lr=0.1,0.2", "association=contrast,squared"], method="bp")) == {"lr"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr", "expected such as lr="),
        ("lrr=1,2", "which is no setting.*Did you mean 'lr'"),
        ("data=digits,sst2", "which is the same for all"),
        ("lr=1..0.1", "the lower one first"),
        ("lr=a,b", "expected values of type float"),
        ("schedule=a..b", "expected a range of numbers"),
        ("schedule=cosin,linear", "--schedule cosin came; expected one of"),
    ],
)
def test_spaces_that_are_none_are_refused(text: str, message: str) -> None:
    with pytest.raises(al.InputError, match=message):
        parsed_space([text])


def test_the_command_tries_as_many_for_each_method(tmp_path: Path) -> None:
    words = ["tune", "--hidden", "8", "--num-layers", "2", "--limit-train", "160", "--epochs", "1"]
    words += ["--latent", "8", "--trials", "2", "--tune-folder", str(tmp_path / "tune")]
    told = json.loads(run_al(*words, "--json"))
    assert told["score"] == "accuracy"
    assert [told[method]["tried"] for method in ("al", "bp")] == [2, 2]
    shown = run_al(*words)  # from the journals: nothing is trained again
    assert "the test data were not read" in shown
    assert f"--method bp --lr {told['bp']['settings']['lr']!r}" in shown.replace("\n", " ")
    with pytest.raises(al.InputError, match="--lr came and is searched too"):
        run_al(*words, "--lr", "0.1")
    with pytest.raises(al.InputError, match="holds a search with other settings"):
        run_al(*words, "--seed", "1")

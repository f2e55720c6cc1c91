"""``al grow``: the run it leaves is one like any other, and its layers are those of the whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from associated_learning.cli.main import main
from associated_learning.runs.folder.open_run import open_run
from associated_learning.runs.result import read_history, read_result

QUICK = ("--limit-train", "400", "--epochs", "6", "--num-layers", "4")


def al(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["al", *arguments])
        try:
            main()
            code = 0
        except SystemExit as error:
            code = int(error.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that grows after every epoch that is not better than all before it."""
    folder = tmp_path_factory.mktemp("runs") / "grown"
    with pytest.MonkeyPatch.context() as patch:
        command = ["al", "grow", *QUICK, "--grow-patience", "1", "--run-folder", str(folder)]
        patch.setattr("sys.argv", [*command, "--lr", "0.02", "--quiet"])
        with pytest.raises(SystemExit) as error:
            main()
    assert not error.value.code
    return folder


def test_what_is_kept_is_a_run_like_any_other(
    grown: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result, records = read_result(grown), read_history(grown)
    assert result is not None
    depth = len(result.test_scores)
    assert open_run(grown).net.num_layers == depth == len(result.validation_scores)
    assert max(len(record.scores) for record in records) > 1
    best = max(score for record in records for score in record.scores)
    assert result.validation_scores[-1] == best
    _, out, _ = al("evaluate", str(grown), "--json", capsys=capsys)
    assert list(json.loads(out)["accuracy"].values()) == result.test_scores
    assert (grown / "plots" / "curves.png").stat().st_size > 1000


def test_layers_learn_as_in_the_network_that_is_trained_as_a_whole(
    grown: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "whole"
    # the rate of a network that grows does not fall, as layers come late
    options = ("--schedule", "constant", "--warmup", "0", "--lr", "0.02", "--patience", "0")
    command = ("train", *QUICK, *options, "--quiet", "--run-folder", str(folder))
    code, _, _ = al(*command, capsys=capsys)
    assert code == 0
    whole = read_history(folder)
    for one, other in zip(read_history(grown), whole, strict=False):
        assert one.losses[0] == other.losses[0]
        assert one.scores[0] == other.scores[0]


def test_the_stack_and_the_depths_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, ledger = tmp_path / "run", tmp_path / "ledger.jsonl"
    options = ("--grow-patience", "1", "--lr", "0.02", "--grow-freeze", "--ledger", str(ledger))
    command = ("grow", *QUICK, *options, "--run-folder", str(folder))
    code, out, err = al(*command, capsys=capsys)
    assert code == 0
    assert "layer 2 is put on top, layers 1 to 1 are frozen" in err
    assert "frozen" in err
    assert "since epoch" in out
    code, again, _ = al(*command, capsys=capsys)  # finished: it is shown, not trained again
    assert code == 0
    assert again.endswith(out)
    assert len(ledger.read_text().splitlines()) == 1


@pytest.mark.parametrize("seen", [1, 3])
def test_weights_on_disk_are_those_of_the_kept_depth(grown: Path, seen: int) -> None:
    net = open_run(grown).net
    layers = sorted((grown / "checkpoints").glob("best-*/layer-*.safetensors"))
    assert len(layers) == net.num_layers
    x = torch.rand(seen, 1, 8, 8)
    assert net(x).shape == (seen, 10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--method", "bp"), "--grow-from 1 came, but --method bp has no associated layers"),
        (("--patience", "3"), "--patience 3 came, but a network that grows has --grow-patience"),
        (("--greedy",), "--greedy True came, but a network that grows"),
        (("--grow-from", "5"), "--grow-from 5 came for a model of 4 layers"),
        (("--no-stop-gradients",), "only layers that train in isolation can grow"),
        (("--grow-patience", "0"), "--grow-patience 0 came; expected at least 1"),
    ],
)
def test_settings_that_do_not_fit_growth_are_refused(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = str(tmp_path / "run")
    code, _, err = al("grow", *QUICK, *arguments, "--run-folder", folder, capsys=capsys)
    assert code == 2
    assert message in err


def test_rules_of_growth_without_growth_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = al("train", "--grow-gain", "0.1", capsys=capsys)
    assert code == 2
    assert "--grow-gain 0.1 came, but there is no --grow-from" in err
    code, _, err = al("verify", "pipeline", "--grow-from", "1", capsys=capsys)
    assert code == 2
    assert "layers are compared as a whole network" in err

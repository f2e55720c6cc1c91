"""The exits of one network as an ensemble, against means taken one by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import associated_learning as al
from associated_learning.data import load
from associated_learning.inference.ensemble import choose_ensemble
from associated_learning.runs.folder.open_run import open_run
from associated_learning.runs.run import train_run
from associated_learning.runs.settings.config import RunConfig
from commands import run_al

X, Y = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 3
BATCHES = [(X[:25], Y[:25]), (X[25:], Y[25:])]


def network(**options: Any) -> al.ALNetwork:
    torch.manual_seed(1)
    encoders = [nn.Sequential(nn.Linear(6, 8), nn.Tanh()), nn.Linear(8, 8), nn.Linear(8, 8)]
    return al.al_form(encoders, X, al.Classes(3), latent=5, **options).eval()


@pytest.mark.parametrize("exits", [1, 2, 3])
@pytest.mark.parametrize("bridge", ["linear", "block"])
def test_it_is_the_mean_of_the_last_outputs_at_every_depth(exits: int, bridge: str) -> None:
    net = network(bridge=bridge)
    ensemble = al.ExitEnsemble(net, exits)
    with torch.no_grad():
        alone = [net(X, depth) for depth in (1, 2, 3)]
        for depth, found in enumerate(ensemble.exits(X), start=1):
            logs = torch.stack([o.log_softmax(1) for o in alone[max(0, depth - exits) : depth]])
            torch.testing.assert_close(found.softmax(1), logs.mean(0).softmax(1))
            assert torch.equal(ensemble(X, depth), found)
    right = al.evaluate(ensemble, BATCHES).scores
    answers = [al.predict_batches(ensemble, [X], depth).labels for depth in (1, 2, 3)]
    assert right == pytest.approx([float((labels == Y).float().mean()) for labels in answers])


def test_the_choice_is_the_best_of_all_and_of_equals_the_smallest() -> None:
    net = network()
    al.Trainer(epochs=2, lr=0.01).fit(net, al.LoaderBatches(BATCHES))
    scores = {
        (exits, depth): al.evaluate(al.ExitEnsemble(net, exits), BATCHES).scores[depth - 1]
        for exits in (1, 2, 3)
        for depth in range(exits, 4)
    }
    chosen = choose_ensemble(net, BATCHES)
    best = max(scores.values())
    first = next(pair for pair, score in scores.items() if score == best)
    assert (chosen.num_exits, chosen.depth) == first
    assert chosen.score == pytest.approx(best)
    alone = al.evaluate(net, BATCHES).scores
    assert chosen.single_score == pytest.approx(max(alone))
    assert chosen.single_depth == 1 + alone.index(max(alone))


def test_it_is_exported_without_what_does_not_count() -> None:
    ensemble = al.ExitEnsemble(network(), 2)
    held = {id(p) for p in ensemble.prefix(3).parameters()}
    layers = ensemble.net.al_layers()
    unused = [layers[0].b, *(layer.g for layer in layers)]
    assert not held & {id(p) for module in unused for p in module.parameters()}
    assert al.count_parameters(ensemble).inference[2] == sum(
        p.numel()
        for module in (*ensemble.net.inference_modules(3), layers[1].b)
        for p in module.parameters()
    )


@pytest.mark.parametrize("exits", [0, 4, 1.5])
def test_a_number_of_exits_that_is_none_is_refused(exits: Any) -> None:
    with pytest.raises(al.InputError, match=f"of {exits} exits came for a network of 3; expected"):
        al.ExitEnsemble(network(), exits)


def test_a_network_of_one_exit_is_refused() -> None:
    with pytest.raises(al.InputError, match="a BPNetwork came, which answers at full depth only"):
        al.ExitEnsemble(al.BPNetwork(nn.Linear(6, 3), al.Classes(3)), 1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("points")
    x = np.random.default_rng(0).normal(size=(90, 2))
    rows = [f"{a},{b},{'yes' if a * b > 0 else 'no'}" for a, b in x]
    (folder / "points.csv").write_text("\n".join(["a,b,label", *rows]))
    config = RunConfig(data=str(folder / "points.csv"), epochs=2, hidden=8, latent=8, num_layers=3)
    train_run(config, folder / "run")
    return folder / "run"


def test_the_commands_answer_so(run: Path) -> None:
    opened = open_run(run)
    data = load(opened.config.data)
    x, y = data.test.take(torch.arange(len(data.test))), data.test.labels
    ensemble = al.ExitEnsemble(opened.net, 2)
    right = float((ensemble.predict(x, 3).labels == y).float().mean())
    told = json.loads(run_al("evaluate", run, "--ensemble", "2", "--json"))
    assert told["accuracy"]["3"] == pytest.approx(right)
    printed = run_al("evaluate", run, "--ensemble", "auto")
    assert "Chosen on the validation data" in printed
    told = json.loads(run_al("evaluate", run, "--ensemble", "auto", "--json"))
    assert told["validation"]["score"] >= told["validation"]["single_score"]
    asked = ["predict", str(run), "0.5,1.5", "--depth", "3", "--ensemble", "2", "--json"]
    probabilities = json.loads(run_al(*asked))["probabilities"]
    expected = ensemble.predict(opened.preprocessor([[0.5, 1.5]]), 3).probabilities
    assert expected is not None
    assert list(probabilities.values()) == pytest.approx(expected[0].tolist(), abs=1e-6)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate", "--ensemble", "2", "--exits"], "--exits and --ensemble came; a sample"),
        (["evaluate", "--ensemble", "auto", "--metric", "f1"], "auto came with --metric; it shows"),
        (["evaluate", "--ensemble", "few"], "--ensemble few came; expected a number of exits"),
        (["evaluate", "--ensemble", "9"], "of 9 exits came for a network of 3"),
        (["predict", "1,2", "--ensemble", "auto"], "--ensemble auto came; expected a number"),
        (["predict", "1,2", "--ensemble", "2", "--exit", "auto"], "--ensemble 2 --exit auto came"),
    ],
)
def test_what_it_cannot_do_is_refused(run: Path, words: list[str], message: str) -> None:
    command, *others = words
    with pytest.raises(al.InputError, match=message):
        run_al(command, run, *others)

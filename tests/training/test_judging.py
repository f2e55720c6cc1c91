"""How epochs are judged: the best depth, ties by loss, patience, the least number of updates."""

from __future__ import annotations

import io
import math
import re
from dataclasses import replace

import pytest
import torch
from rich.console import Console

import associated_learning as al
from associated_learning.state.training_state import Candidates, EpochRecord, TrainingState
from associated_learning.training.epoch_judge import stalled_epochs
from associated_learning.training.length import enough_epochs
from associated_learning.training.progress_bar import ProgressBar
from small_networks import dense_network

Scores = list[list[float]]


def records(scores: Scores, losses: Scores | None = None) -> list[EpochRecord]:
    return [
        EpochRecord(
            epoch=epoch,
            step=epoch,
            losses=[],
            scores=of_depths,
            validation_losses=[1.0] * len(of_depths) if losses is None else losses[epoch - 1],
            lr=[],
            seconds=0.0,
            validation_seconds=0.0,
        )
        for epoch, of_depths in enumerate(scores, start=1)
    ]


@pytest.mark.parametrize(
    ("scores", "losses", "best"),
    [
        ([[0.5, 0.7], [0.6, 0.6]], [[1, 1], [1, 1]], (1, 2)),
        ([[0.5, 0.7], [0.8, 0.6]], [[1, 1], [9, 1]], (2, 1)),  # a score counts before a loss
        ([[0.7, 0.7], [0.7, 0.6]], [[3, 2], [1, 0]], (2, 1)),
        ([[0.7, 0.7], [0.7, 0.7]], [[2, 2], [2, 2]], (1, 1)),
        ([[float("nan"), 0.2], [0.2, float("nan")]], [[0, 2], [3, 0]], (1, 2)),
    ],
)
def test_of_equal_scores_the_one_of_less_loss_is_best(
    scores: Scores, losses: Scores, best: tuple[int, int]
) -> None:
    state, shown = TrainingState(), io.StringIO()
    bar = ProgressBar(console=Console(file=shown, width=200))
    bar.started(state, epochs=len(scores), batches=1)
    for record in records(scores, losses):
        depths = dict(enumerate(record.scores, start=1))
        state.finish_epoch(record, Candidates(depths, ties_by_loss=True))
        bar.epoch_done(state, record)
    bar.ended(state)
    assert (state.best_epoch, state.best_depth) == best
    reached = [max(filter(lambda s: s == s, of)) for of in scores]
    by_loss = best[0] > 1 and reached[best[0] - 1] in reached[: best[0] - 1]
    assert state.best_by_loss == by_loss  # what patience does not count is said where it is seen
    line = next(line for line in shown.getvalue().splitlines() if f"epoch {best[0]}/" in line)
    assert line.endswith("best by loss" if by_loss else "best")


@pytest.mark.parametrize(
    ("scores", "stalled"),
    [
        ([[0.5, 0.5]], 0),
        ([[0.5, 0.9], [0.6, 0.8], [0.7, 0.8]], 0),  # depth 1 still rises
        ([[0.5, 0.9], [0.6, 0.8], [0.6, 0.9]], 1),  # an equal score is no progress
        ([[0.9], [0.1], [0.2], [0.3]], 3),
        ([[0.5], [0.5, 0.1], [0.4, 0.2]], 0),  # a depth that came later
    ],
)
def test_progress_at_any_depth_counts(scores: Scores, stalled: int) -> None:
    assert stalled_epochs(records(scores)) == stalled


def data(count: int = 4) -> list[tuple[torch.Tensor, torch.Tensor]]:
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(count, 8, 6, generator=rng)
    return [(batch, (batch[:, 0] > 0).long()) for batch in x]


def test_the_network_ends_with_the_epoch_of_the_best_depth() -> None:
    net, validation = dense_network(3), al.LoaderBatches(data(6)[4:])
    state = al.Trainer(epochs=8, lr=0.05).fit(net, al.LoaderBatches(data()), validation)
    best = max(max(record.scores) for record in state.records)
    scores = al.evaluate(net, validation.epoch(0)).scores
    assert scores[state.best_depth - 1] == best == max(scores)


def test_a_frozen_layer_is_never_the_best_depth() -> None:
    net = dense_network(2)
    net.layers[0].requires_grad_(False)
    assert net.candidates([0.9, 0.1]) == {2: 0.1}
    net.layers[1].requires_grad_(False)
    assert net.candidates([0.9, 0.1]) == {1: 0.9, 2: 0.1}


@pytest.mark.parametrize(("least", "epochs"), [(0, 3), (18, 3), (19, 4), (42, 7)])
def test_patience_waits_for_the_least_number_of_updates(least: int, epochs: int) -> None:
    net = dense_network(2)
    for parameter in net.parameters():  # no epoch is better than the first
        parameter.requires_grad_(False)
    trainer = al.Trainer(epochs=9, patience=2, min_updates=least)
    batches = al.LoaderBatches(data(6))
    assert trainer.fit(net, batches, batches).epoch == epochs


def test_without_a_number_of_epochs_there_are_enough_updates_and_rates_that_fall() -> None:
    state = al.Trainer(lr=0.01).fit(dense_network(1), al.LoaderBatches(data(25)))
    assert (state.epoch, state.step) == (40, 1000)
    assert enough_epochs(5000) == 20
    for record in state.records[4:]:  # after the warm-up of 100 updates
        share = (record.step - 100) / 900
        expected = 0.005 * (1 + math.cos(math.pi * share))
        assert record.lr[0] == pytest.approx(expected, rel=0.01, abs=1e-6)


def test_with_a_number_of_epochs_rates_are_constant_unless_told_otherwise() -> None:
    state = al.Trainer(epochs=2, lr=0.01).fit(dense_network(1), al.LoaderBatches(data(3)))
    assert [record.lr for record in state.records] == [[0.01], [0.01]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_updates": -1}, r"min_updates=-1 came; expected 0 or more"),
        ({"judge": "top"}, r"judge='top' came; expected any or full"),
        ({"epochs": 0}, r"epochs=0 came; expected at least 1, or None"),
    ],
)
def test_settings_that_judge_are_checked(options: dict[str, object], message: str) -> None:
    with pytest.raises(al.InputError, match=message):
        al.Trainer(**options)  # type: ignore[arg-type]from associated_learning.training.progress_bar import ProgressBar


@pytest.mark.parametrize("width", [50, 60, 80, 120])
def test_on_a_narrow_screen_no_number_is_cut_and_no_line_wraps(width: int) -> None:
    shown = io.StringIO()
    screen = Console(file=shown, width=width, force_terminal=True, color_system=None)
    bar, state = ProgressBar("AL", console=screen), TrainingState(epoch=16)
    bar.started(state, epochs=20, batches=57)
    state.add_batch([{"associated": 1.25}, {"associated": 0.5}, {"associated": 0.125}], 1.0)
    bar.batch_done(state, [])
    bar.ended(state)  # which shows the last of it
    bar.started(state, epochs=20, batches=57)
    record = replace(records([[0.5, 0.625, 0.75]])[0], losses=[{"associated": 12.5}] * 3)
    bar.epoch_done(state, record)
    bar.ended(state)
    lines = [line.strip() for line in re.split(r"[\r\n]|\x1b\[[0-9;?]*[A-Za-z]", shown.getvalue())]
    assert max(map(len, lines)) <= width
    live = next(line for line in lines if "913/1140" in line and "loss" in line)
    assert re.match(r"AL epoch 17/20 \S+ +913/1140 [-\d]:[-\d]{2}:[-\d]{2} loss ", live)
    told = live.partition("loss ")[2].removesuffix("…").split()
    assert told == ["1.250", "0.500", "0.125"][: len(told)]
    assert width < 60 or len(told) == 3
    assert any("validation 50.0 62.5 75.0" in line for line in lines)

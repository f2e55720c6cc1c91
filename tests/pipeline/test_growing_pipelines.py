"""Pipelines that gain stages as the network grows; equal bits are in the table of laws."""

from __future__ import annotations

import functools
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import associated_learning as al
from associated_learning.state.training_state import StageTime, TrainingState
from associated_learning.training.callbacks import Callback
from executors import as_torchrun_does
from growing import after, first_layer, fit, layer
from pipeline_runs import digests
from rank_processes import Place, Ranks
from small_networks import batches_of
from test_processes import InterruptedAt, errors_of


def rules() -> al.Growth:
    return al.Growth(make=layer, max_layers=4, when=after(1, 2, 4), layer_patience=2, settle=0.5)


@pytest.fixture(scope="module")
def sequential(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("sequential")
    _, state = fit(rules(), folder, batches=20)
    assert state.depth == 4
    assert 0 < state.frozen < 4
    return digests(folder)


class Divisions(Callback):
    """Keeps which layers each stage had."""

    def __init__(self) -> None:
        self.found: list[list[tuple[int, int]]] = []

    def stages_done(self, step: int, times: list[StageTime]) -> None:
        division = [(time.first, time.last) for time in times]
        if self.found[-1:] != [division]:
            self.found.append(division)


@pytest.mark.parametrize("stages", [2, 4])
def test_stages_in_threads_are_as_many_as_there_are_layers_for(
    stages: int, sequential: dict[str, str], tmp_path: Path
) -> None:
    divisions = Divisions()
    options: dict[str, Any] = {"executor": "threads", "stages": stages, "batches": 20}
    fit(rules(), tmp_path, callbacks=[divisions], **options)
    assert digests(tmp_path) == sequential
    # each change is one of layers or of what is frozen
    assert [division[-1][1] for division in divisions.found][-1] == 4
    for division in divisions.found:
        depth = division[-1][1]
        assert len(division) == min(stages, depth)
        assert [last + 1 for _, last in division[:-1]] == [first for first, _ in division[1:]]
    assert divisions.found[0] == [(1, 1)]


class Counts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.batches = 0

    def forward(self, x: Tensor) -> Tensor:
        self.batches += self.training
        return x


def test_what_a_pipeline_trained_beyond_an_epoch_is_undone(
    sequential: dict[str, str], tmp_path: Path
) -> None:
    steps: list[int] = []
    began: list[tuple[int, int]] = []

    class Late(al.LoaderBatches):
        """Validation that begins when a stage has gone on beyond the first epoch."""

        def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Any, Tensor]]:
            end = time.monotonic() + 10
            while counts.batches <= 20 and time.monotonic() < end:
                time.sleep(0.001)
            began.append((len(steps), counts.batches))
            return super().epoch(epoch, start)

    class Steps(Callback):
        def batch_done(self, state: TrainingState, losses: list[dict[str, float]]) -> None:
            steps.append(state.step)

    net, counts = first_layer(), Counts()
    net.layers[0].f.append(counts)
    options: dict[str, Any] = {"executor": "threads", "stages": 2, "batches": 20}
    validation = Late(batches_of(2))
    fit(rules(), tmp_path, net=net, callbacks=[Steps()], validation=validation, **options)
    assert began[0][0] == 20
    assert began[0][1] > 20  # it did go on
    assert steps == list(range(1, 6 * 20 + 1))
    assert digests(tmp_path) == sequential


def run(place: Place, folder: Path | None, options: dict[str, Any]) -> Any:
    as_torchrun_does(place)
    callbacks = [callback(place) for callback in options.pop("callbacks", {}).get(place.rank, [])]
    net, state = fit(
        options.pop("growth", rules)(),
        folder if place.rank == 0 else None,
        executor="processes",
        callbacks=callbacks,
        **{"batches": 20, **options},
    )
    weights = {name: value.numpy() for name, value in net.state_dict().items()}
    return weights, state.step, state.depth, state.best_depth


@pytest.mark.distributed
def test_a_signal_to_a_rank_that_was_idle_saves_and_ends_all(tmp_path: Path) -> None:
    options: dict[str, Any] = {"epochs": 4, "batches": 20}
    interrupted = functools.partial(InterruptedAt, 45)
    with Ranks(run, 3, tmp_path / "cut", {**options, "callbacks": {0: [interrupted]}}) as ranks:
        ranks.told(0)
        ranks.signal(2, signal.SIGTERM)
        errors = errors_of(ranks)
    assert errors == ["KeyboardInterrupt: "] * 3
    fit(rules(), tmp_path / "cut", **options)
    fit(rules(), tmp_path / "whole", **options)
    assert digests(tmp_path / "cut") == digests(tmp_path / "whole")


def too_few() -> al.Growth:
    return al.Growth(make=layer, max_layers=2, when=after(1))


@pytest.mark.distributed
def test_more_ranks_than_layers_can_come_are_refused() -> None:
    with Ranks(run, 3, None, {"growth": too_few}) as ranks:
        errors = errors_of(ranks)
    assert len(errors) == 3
    assert all("InputError: 3 stages came for a network of 2 layers" in error for error in errors)


def misfit() -> al.Growth:
    return al.Growth(make=lambda number: layer(3), max_layers=2, when=after(1))


@pytest.mark.distributed
def test_a_layer_that_does_not_fit_is_told_on_all_ranks() -> None:
    with Ranks(run, 2, None, {"growth": misfit}) as ranks:
        errors = errors_of(ranks)
    assert len(errors) == 2
    assert all("layer 2 cannot be put on top" in error for error in errors)

"""Stages in processes: any fault ends all of them clearly; equal bits are in the table of laws."""

from __future__ import annotations

import functools
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import associated_learning as al
from associated_learning.pipeline.processes import rendezvous
from associated_learning.pipeline.processes.failure_detector import FailureDetector
from associated_learning.state.training_state import StageTime, TrainingState
from associated_learning.training.callbacks import Callback
from executors import as_torchrun_does
from pipeline_runs import all_kinds_of_layers, digests, sequential, trained
from rank_processes import DEADLINE, Place, RankError, Ranks
from small_networks import batches_of, dense_network

pytestmark = pytest.mark.distributed

WITHIN = 20.0  # seconds for what takes less than 10 on an idle machine
PATIENCE = 1.5  # seconds of silence; in training it is 5


def run(place: Place, folder: Path | None, options: dict[str, Any]) -> Any:
    """Train on one rank; return what of the outcome can be sent."""
    as_torchrun_does(place)
    if options.pop("impatient", False):
        os.environ["AL_PATIENCE"] = str(PATIENCE)
        rendezvous.FailureDetector = functools.partial(  # type: ignore[attr-defined, misc]
            FailureDetector, interval=0.1
        )
    own = options.pop("of_rank", {}).get(place.rank, {})
    callbacks = options.pop("callbacks", {}).get(place.rank, [])
    make = options.pop("net", all_kinds_of_layers)
    net, state = trained(
        "processes",
        folder if place.rank == 0 else None,
        net=make(),
        callbacks=[callback(place) for callback in callbacks],
        **{**options, **own},
    )
    weights = {name: value.numpy() for name, value in net.state_dict().items()}
    return weights, state.step, state.best_epoch, state.stopped


def in_ranks(size: int, folder: Path | None, **options: Any) -> list[Any]:
    with Ranks(run, size, folder, options) as ranks:
        return ranks.results()


def errors_of(ranks: Ranks) -> list[str]:
    found = []
    for rank in range(len(ranks.processes)):
        try:
            ranks.result(rank)
        except RankError as error:
            found.append(str(error))
    return found


@pytest.mark.parametrize(("ranks", "stages"), [(4, 4)])
def test_any_number_of_ranks_ends_with_the_same_bits(
    ranks: int, stages: Any, tmp_path: Path
) -> None:
    """After 60 updates with dropout, BatchNorm, Adam and clipping."""
    outcomes = in_ranks(ranks, tmp_path, stages=stages)
    assert digests(tmp_path) == sequential()[0]
    for weights, *counts in outcomes:  # every rank ends with the whole network
        assert tuple(counts) == outcomes[0][1:]
        assert all((value == outcomes[0][0][name]).all() for name, value in weights.items())


class TellTenth(Callback):
    """Tells the test when batch 10 is done."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def batch_done(self, state: TrainingState, losses: list[dict[str, float]]) -> None:
        if state.step == 10:
            self.place.tell(os.getpid())


def test_a_killed_rank_ends_all_and_the_run_goes_on_from_its_snapshot(tmp_path: Path) -> None:
    options: dict[str, Any] = {"epochs": 4, "save_every": 5}
    watching = {**options, "callbacks": {0: [TellTenth]}, "impatient": True}
    with Ranks(run, 3, tmp_path / "cut", watching) as ranks:
        ranks.told(0)
        ranks.signal(1, signal.SIGKILL)
        begin = time.monotonic()
        errors = errors_of(ranks)
        assert time.monotonic() - begin < WITHIN
    assert errors[1] == "rank 1 ended with exit code -9"
    assert all("PipelineError" in error and "rank" in error for error in (errors[0], errors[2]))
    in_ranks(2, tmp_path / "cut", **options)
    assert digests(tmp_path / "cut") == sequential(**options)[0]


class InterruptedAt(Callback):
    """Tells the test at a batch, and goes on when a signal to another rank has come through."""

    def __init__(self, step: int, place: Place) -> None:
        self.step, self.place = step, place

    def batch_done(self, state: TrainingState, losses: list[dict[str, float]]) -> None:
        if state.step == self.step:
            self.place.tell(os.getpid())
            end = time.monotonic() + DEADLINE
            while not rendezvous._active[0].detector.interrupted and time.monotonic() < end:
                time.sleep(0.01)


def test_sigterm_on_another_rank_saves_and_ends_all(tmp_path: Path) -> None:
    options: dict[str, Any] = {"epochs": 3}
    interrupted = functools.partial(InterruptedAt, 10)
    watching = {**options, "callbacks": {0: [interrupted]}, "impatient": True}
    with Ranks(run, 2, tmp_path / "cut", watching) as ranks:
        ranks.told(0)
        ranks.signal(1, signal.SIGTERM)
        begin = time.monotonic()
        errors = errors_of(ranks)
        assert time.monotonic() - begin < WITHIN
    assert errors == ["KeyboardInterrupt: "] * 2
    saved = al.Checkpoints(tmp_path / "cut").path("last")
    assert 10 <= int(saved.name.split("-")[1]) < 3 * 20
    in_ranks(2, tmp_path / "cut", **options)
    assert digests(tmp_path / "cut") == sequential(**options)[0]


def test_ranks_with_different_settings_are_refused_on_all() -> None:
    with Ranks(run, 2, None, {"of_rank": {1: {"lr": 0.3}}}) as ranks:
        errors = errors_of(ranks)
    assert len(errors) == 2
    assert all("lr: '0.01' on rank 0; '0.3' on rank 1" in error for error in errors)


def test_unequal_numbers_of_batches_are_refused_on_all() -> None:
    with Ranks(run, 2, None, {"of_rank": {1: {"batches": 7}}}) as ranks:
        errors = errors_of(ranks)
    assert len(errors) == 2
    assert all("batches of an epoch: '20' on rank 0; '7' on rank 1" in error for error in errors)


@pytest.mark.parametrize(
    ("ranks", "options", "message"),
    [
        (2, {"stages": 3}, "needs 3 ranks; torchrun started 2"),
        (3, {"replicas": 2}, "replicas=2 came for 3 ranks; expected a divisor of 3"),
        (2, {"net": dense_network, "stages": (1, 1)}, "the network has 3"),
        (4, {"net": dense_network}, "4 stages came for a network of 3 layers"),
    ],
)
def test_ranks_that_do_not_fit_are_refused_on_all(
    ranks: int, options: dict[str, Any], message: str
) -> None:
    with Ranks(run, ranks, None, options) as started:
        errors = errors_of(started)
    assert len(errors) == ranks
    assert all(error.startswith("InputError") and message in error for error in errors)


def test_a_checkpoint_that_cannot_be_written_ends_all_ranks(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("where the folder should be")
    with Ranks(run, 2, tmp_path / "file" / "run", {}) as ranks:
        errors = errors_of(ranks)
    assert errors[0].startswith("CheckpointError")
    assert "CheckpointError" in errors[1]


def plain() -> al.ALNetwork:
    torch.manual_seed(3)
    # contrast is no mean of single samples: each replica compares those of its own share
    return dense_network(2, association=None)


def test_replicas_train_as_the_whole_batch_does() -> None:
    """Gradients of means over halves, averaged: the gradient of the mean, up to rounding."""
    options: dict[str, Any] = {"optimizer": torch.optim.SGD, "lr": 0.1}
    net, _ = trained("sequential", None, net=plain(), **options)
    for weights, *_ in in_ranks(4, None, net=plain, replicas=2, **options):
        for name, expected in net.state_dict().items():
            torch.testing.assert_close(torch.from_numpy(weights[name]), expected)


class Odd(nn.Module):
    """Fails on a batch of one sample, as BatchNorm does."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and len(x) == 1:
            raise ValueError("one sample is not enough")
        return x


def needs_two_samples() -> al.ALNetwork:
    encoders = [nn.Sequential(Odd(), nn.Linear(6, 6)) for _ in range(1)]
    return al.al_form(encoders, torch.randn(2, 6), al.Classes(4), latent=5)


def run_odd_batch(place: Place) -> None:
    as_torchrun_does(place)
    trainer = al.Trainer(epochs=2, executor="processes", replicas=2)
    trainer.fit(needs_two_samples(), al.LoaderBatches([*batches_of(2), *batches_of(1, size=3)]))


def test_a_replica_that_fails_alone_ends_all() -> None:
    """Its partner waits for its gradients, which never come."""
    with Ranks(run_odd_batch, 2) as ranks:
        begin = time.monotonic()
        errors = errors_of(ranks)
        assert time.monotonic() - begin < WITHIN
    assert len(errors) == 2
    assert all("one sample is not enough" in error for error in errors)


def test_bf16_on_the_wire_rounds_a_little(tmp_path: Path) -> None:
    net, _ = trained("sequential", None, net=plain())
    (weights, *_), _ = in_ranks(2, None, net=plain, wire=torch.bfloat16)
    expected = net.state_dict()
    lower, upper = "layers.0.f.0.weight", "layers.1.f.0.weight"
    assert (weights[lower] == expected[lower].numpy()).all()  # nothing came to it by wire
    assert not (weights[upper] == expected[upper].numpy()).all()
    torch.testing.assert_close(
        torch.from_numpy(weights[upper]), expected[upper], rtol=0.1, atol=0.02
    )


class Overlap(Callback):
    """Tells when stages worked."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.times: list[list[StageTime]] = []

    def stages_done(self, step: int, times: list[StageTime]) -> None:
        self.times.append(times)

    def ended(self, state: TrainingState) -> None:
        self.place.tell([[tuple(time) for time in times] for times in self.times])


def slow() -> al.ALNetwork:
    class Slow(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                time.sleep(0.02)
            return x

    encoders = [nn.Sequential(Slow(), nn.Linear(6, 6)) for _ in range(2)]
    return al.al_form(encoders, torch.randn(2, 6), al.Classes(4), latent=5)


def test_ranks_work_at_the_same_time_on_different_batches() -> None:
    options = {"net": slow, "callbacks": {0: [Overlap]}, "epochs": 1, "batches": 20}
    with Ranks(run, 2, None, options) as ranks:
        spans = ranks.told(0)
        ranks.results()
    assert [[(first, last) for first, last, *_ in times] for times in spans] == [
        [(1, 1), (2, 2)]
    ] * 20
    lower = [times[0] for times in spans]
    upper = [times[1] for times in spans]
    # stage 1 begins a batch before stage 2 has ended the one before it
    overlaps = [after[2] < before[3] for before, after in zip(upper, lower[1:], strict=False)]
    assert sum(overlaps) > 15


def test_without_torchrun_the_command_is_told() -> None:
    with pytest.raises(al.InputError, match="torchrun --nproc-per-node 2 --no-python al train"):
        al.Trainer(epochs=1, executor="processes").fit(
            dense_network(2), al.LoaderBatches(batches_of(2))
        )

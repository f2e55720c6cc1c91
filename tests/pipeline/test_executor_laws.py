"""Every executor crossed with every law of training: whatever trains, ends with the same bits."""

from __future__ import annotations

import functools
import os
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import associated_learning as al
from associated_learning.losses import contrastive_loss
from associated_learning.state.training_state import EpochRecord, TrainingState
from associated_learning.training.callbacks import Callback
from executors import SEQUENTIAL, End, ExecutorCase, Fit, parameters
from faults import KillAt
from growing import after, layer
from pipeline_runs import NoisyBatches, digests
from small_networks import batches_of

every_executor = pytest.mark.parametrize("case", parameters())

LONG = {"epochs": 2, "batches": 20, "source": NoisyBatches}  # 40 updates


class Interrupt(Callback):
    """Does at batch 10 what a cluster does that wants its machine back; Ctrl-C is the same."""

    def batch_done(self, state: TrainingState, losses: list[dict[str, float]]) -> None:
        if state.step == 10:
            os.kill(os.getpid(), signal.SIGTERM)


class Stop(Callback):
    """Asks for the end of training in the second epoch, by a batch of it or when it is done.

    It keeps what it hears of validation: the score of full depth, from the outputs, and whether
    they are those of the network that it is shown.
    """

    def __init__(self, event: str) -> None:
        self.event = event
        self.heard: list[tuple[float, bool]] = []
        self._outputs: list[tuple[torch.Tensor, torch.Tensor]] = []

    def batch_done(self, state: TrainingState, losses: list[dict[str, float]]) -> None:
        if self.event == "batch" and state.epoch == 1:
            state.stop()

    def validation_batch_done(
        self, state: TrainingState, outputs: Sequence[torch.Tensor], y: torch.Tensor
    ) -> None:
        self._outputs.append((outputs[-1], y))

    def validated(self, state: TrainingState, net: al.Network) -> None:
        answers = torch.cat([answer for answer, _ in self._outputs]).argmax(1)
        y = torch.cat([y for _, y in self._outputs])
        x = torch.cat([x for x, _ in batches_of(2)]).to(y.device)
        same = torch.equal(al.predict_batches(net, [x]).labels, answers.cpu())
        self.heard.append((float((answers == y).double().mean()), same))
        self._outputs.clear()

    def epoch_done(self, state: TrainingState, record: EpochRecord) -> None:
        if self.event == "epoch" and state.epoch == 2:
            state.stop()


class Listener(Callback):
    """Keeps what every batch tells."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, list[dict[str, float]]]] = []

    def batch_done(self, state: TrainingState, losses: list[dict[str, float]]) -> None:
        self.heard.append((state.step, losses))


def trained(case: ExecutorCase, folder: Path | None, *, heard: Any = None, **options: Any) -> End:
    """Train to the end; return the end of rank 0, that of all others."""
    (ends,) = case.train(Fit(folder, options, heard))
    for end in ends:
        assert isinstance(end, End), end
        same_weights(end, ends[0])  # type: ignore[arg-type]
        assert end.progress == ends[0].progress  # type: ignore[union-attr]
    return ends[0]  # type: ignore[return-value]


def broken(
    case: ExecutorCase,
    folder: Path,
    callback: Callback | None = None,
    *,
    poison: int = 0,
    **options: Any,
) -> list[str]:
    """Train to an error; return what each rank raised."""
    (ends,) = case.train(Fit(folder, options, callback, poison))
    assert all(isinstance(end, str) for end in ends), ends
    return ends  # type: ignore[return-value]


def same_weights(one: End, other: End) -> None:
    assert one.weights.keys() == other.weights.keys()
    for name, value in one.weights.items():
        assert (value == other.weights[name]).all(), name


@functools.cache
def _oracle(device: str, law: str) -> tuple[dict[str, str], End]:
    """Return digests and the end of the same run in one process, without stages."""
    with tempfile.TemporaryDirectory() as folder:
        case = ExecutorCase(SEQUENTIAL.executor, device=device)
        end = trained(case, Path(folder), heard=Listener(), **OPTIONS[law])
        return digests(Path(folder)), end


def oracle(case: ExecutorCase, law: str) -> dict[str, str]:
    return _oracle(case.device, law)[0]


def halved(optimizer: Any) -> Any:
    return torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)


def cosine(optimizer: Any) -> Any:
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 24)


def plateau(optimizer: Any) -> Any:
    kind = torch.optim.lr_scheduler.ReduceLROnPlateau
    return kind(optimizer, mode="max", patience=0, factor=0.5)


SETTINGS: dict[str, dict[str, Any]] = {
    "schedule by epoch": {"schedule": halved},
    "schedule by step": {"schedule": cosine, "schedule_every": "step"},
    "schedule by score": {"schedule": plateau, "epochs": 3},
    "precision": {"precision": torch.bfloat16},
    "freeze": {"freeze": 2},
    "target_warmup": {"target_warmup": 3},
    "save_every": {"save_every": 4},
    "optimizer": {"optimizer": torch.optim.SGD, "optimizer_options": {"momentum": 0.9}},
    "rates": {"lr": [0.1, 0.01, 0.001, 0.1], "encoder_lr": 0.05},
    "positions": {"positions": "auto"},
    "positions as rows": {"positions": contrastive_loss},
    "accumulation": {"gradient_accumulation_steps": 3, "save_every": 2, "batches": 4},
}
# layers that come after epochs 1, 2 and 4, the lower ones frozen when they stand still
GROWTH = al.Growth(make=layer, max_layers=4, when=after(1, 2, 4), layer_patience=2, settle=0.5)
# no rise is enough: growth ends though its last epoch is the best so far
ENOUGH = al.Growth(make=layer, max_layers=4, patience=1, min_rise=1)
LONG_VALIDATION = al.LoaderBatches(batches_of(100))  # in which stages have time to go on
OPTIONS: dict[str, dict[str, Any]] = {
    "bits": LONG,
    "resume": {"save_every": 3, "batches": 8},
    "interrupt": {"epochs": 4},  # a window may be far ahead of what is heard
    "two epochs": {"epochs": 2, "batches": 8},
    "patience": {"epochs": 30, "batches": 8, "patience": 2, "lr": 0.5, "judge": "full"},
    "any depth": {"epochs": 30, "batches": 8, "patience": 2, "lr": 0.5, "judge": "any"},
    "growth": {"growth": GROWTH, "batches": 12},
    "end": {"growth": ENOUGH, "epochs": 9, "batches": 8, "validation": LONG_VALIDATION},
    **{name: {"epochs": 2, "batches": 3, **options} for name, options in SETTINGS.items()},
}


@every_executor
def test_equal_bits(case: ExecutorCase, tmp_path: Path) -> None:
    """Weights, BatchNorm, Adam and schedules after 40 updates with dropout and clipping."""
    end = trained(case, tmp_path, heard=Listener(), **LONG)
    found, (expected, sequential) = digests(tmp_path), _oracle(case.device, "bits")
    assert found == expected
    assert len(found) == 4 + 4 + 1  # layers, optimizers, and all the rest
    assert end.records == sequential.records  # losses, scores of validation, rates
    assert end.heard == sequential.heard
    assert [step for step, _ in end.heard] == list(range(1, 41))


@every_executor
def test_equal_digests_mean_something(case: ExecutorCase, tmp_path: Path) -> None:
    """Another seed of dropout gives other bits, in every layer and optimizer."""
    trained(case, tmp_path, seed=6, **OPTIONS["resume"])
    found, expected = digests(tmp_path), oracle(case, "resume")
    assert all(found[name] != expected[name] for name in expected)


@every_executor
def test_equal_bits_with_every_setting(case: ExecutorCase, tmp_path: Path) -> None:
    """What the trainer can do, each executor can; one after the other in the same processes."""
    fits = [Fit(tmp_path / name, OPTIONS[name]) for name in SETTINGS]
    for name, ends in zip(SETTINGS, case.train(*fits), strict=True):
        assert isinstance(ends[0], End), (name, ends)
        assert digests(tmp_path / name) == oracle(case, name), name


@every_executor
@pytest.mark.parametrize(("step", "saved"), [(2, None), (8, 6), (14, 12)])
def test_resume(case: ExecutorCase, step: int, saved: int | None, tmp_path: Path) -> None:
    """Killed before the first snapshot, at the end of an epoch and inside one; then elsewhere.

    What was saved does not tell who saved it: another executor goes on with it, and back.
    """
    options = OPTIONS["resume"]
    errors = broken(case, tmp_path, KillAt(step), **options)
    assert all("KilledError" in error for error in errors)
    kept = [path.name for path in tmp_path.glob("last-*")]
    assert kept == ([] if saved is None else [f"last-{saved:09d}"])
    elsewhere = ExecutorCase("sequential", device=case.device)
    broken(elsewhere, tmp_path, KillAt(19), **options)
    trained(case, tmp_path, **options)
    assert digests(tmp_path) == oracle(case, "resume")


@every_executor
def test_interrupt(case: ExecutorCase, tmp_path: Path) -> None:
    """All ranks end, the run is saved after a whole batch, and goes on from there."""
    errors = broken(case, tmp_path, Interrupt(), **OPTIONS["interrupt"])
    assert errors == ["KeyboardInterrupt: "] * max(case.ranks, 1)
    saved = al.Checkpoints(tmp_path).path("last")
    assert 10 <= int(saved.name.split("-")[1]) < 4 * 20
    trained(case, tmp_path, **OPTIONS["interrupt"])
    assert digests(tmp_path) == oracle(case, "interrupt")


@every_executor
def test_nan(case: ExecutorCase, tmp_path: Path) -> None:
    """It stops all, names layer and batch, and leaves the last snapshot that is whole."""
    errors = broken(case, tmp_path, poison=3, batches=8)
    assert errors[0].startswith("NonFiniteLossError")
    assert all("layer 3 is not finite at batch 19" in error for error in errors)
    assert len(errors) == max(case.ranks, 1)
    assert al.Checkpoints(tmp_path).path("last").name == "last-000000016"


@every_executor
def test_validation(case: ExecutorCase) -> None:
    """Patience ends the run with the weights of its best epoch, whatever was trained since."""
    end = trained(case, None, heard=Listener(), **OPTIONS["patience"])
    _, expected = _oracle(case.device, "patience")
    _, epoch, best_epoch, stopped, _ = end.progress
    assert (stopped, epoch) == (True, best_epoch + 2)
    assert epoch < 30
    assert end.progress == expected.progress
    assert end.records == expected.records
    same_weights(end, expected)


@every_executor
@pytest.mark.parametrize("event", ["batch", "epoch"])
def test_a_callback_ends_training(case: ExecutorCase, event: str, tmp_path: Path) -> None:
    """With this epoch, as if it were the last one; what is saved does not go on either."""
    end = trained(case, tmp_path, heard=Stop(event), epochs=30, batches=8)
    _, expected = _oracle(case.device, "two epochs")
    assert end.progress == (16, 2, expected.progress[2], True, 4)
    assert end.records == expected.records
    assert end.heard == [(record[2][-1], True) for record in end.records]
    same_weights(end, expected)
    again = trained(SEQUENTIAL, tmp_path, epochs=30, batches=8)
    assert again.progress == end.progress
    same_weights(again, expected)


@every_executor
def test_validation_of_any_depth(case: ExecutorCase) -> None:
    """Patience counts progress at every depth, and takes the same epoch for the best."""
    end = trained(case, None, heard=Listener(), **OPTIONS["any depth"])
    _, expected = _oracle(case.device, "any depth")
    assert end.progress == expected.progress
    assert end.records == expected.records
    same_weights(end, expected)


@every_executor
def test_growth(case: ExecutorCase, tmp_path: Path) -> None:
    """From one layer to four, where stages wait for layers; also killed as it grows."""
    options = OPTIONS["growth"]
    end = trained(case, tmp_path / "whole", heard=Listener(), **options)
    expected, sequential = _oracle(case.device, "growth")
    assert digests(tmp_path / "whole") == expected
    assert end.progress == sequential.progress
    same_weights(end, sequential)
    errors = broken(case, tmp_path / "cut", KillAt(24, "grown"), **options)
    assert all("KilledError" in error for error in errors)
    assert al.Checkpoints(tmp_path / "cut").path("last").name.startswith("last-000000024")
    trained(case, tmp_path / "cut", **options)
    assert digests(tmp_path / "cut") == expected


@every_executor
def test_the_last_epoch_may_be_the_best(case: ExecutorCase) -> None:
    """What was trained beyond it, while it was validated, is undone."""
    end = trained(case, None, heard=Listener(), **OPTIONS["end"])
    _, expected = _oracle(case.device, "end")
    _, epoch, best_epoch, stopped, _ = end.progress
    assert (stopped, epoch) == (True, best_epoch)
    assert end.progress == expected.progress
    same_weights(end, expected)

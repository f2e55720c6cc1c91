"""Law 6: killed anywhere and resumed, a run ends with the same bits."""

from __future__ import annotations

import functools
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import associated_learning as al
from associated_learning.pipeline.interrupt import deferred_interrupts, ending_the_process
from associated_learning.state.files import replaced_folder
from associated_learning.state.training_state import TrainingState
from associated_learning.training.callbacks import Callback
from commands import Program
from faults import KillAt, KilledError
from small_networks import batches_of, dense_network, noisy_network, without_digests


def make(method: str) -> tuple[al.Network, al.LoaderBatches, al.LoaderBatches]:
    torch.manual_seed(3)
    x, y = (torch.cat(parts) for parts in zip(*batches_of(6), strict=True))
    train = al.LoaderBatches(DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True), seed=5)
    if method == "al":
        net: al.Network = noisy_network(3)
    else:
        body = [nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 4)]
        net = al.BPNetwork(nn.Sequential(*body), al.Classes(4))
    return net, train, al.LoaderBatches(batches_of(2))


def trainer(**options: Any) -> al.Trainer:
    return al.Trainer(
        epochs=4,
        lr=0.02,
        clip=1.0,
        seed=9,
        save_every=2,
        schedule_every="step",
        schedule=lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 24),
        **options,
    )


Run = tuple[al.Network, TrainingState, Path]


def finished(method: str, folder: Path, **options: Any) -> Run:
    net, train, validation = make(method)
    checkpoints = al.Checkpoints(folder)
    state = trainer(**options).fit(net, train, validation, checkpoints=checkpoints)
    return net, state, checkpoints.path("last")


def same_files(one: Path, two: Path) -> bool:
    names = sorted(p.name for p in one.glob("*.safetensors"))
    assert names == sorted(p.name for p in two.glob("*.safetensors"))
    return all((one / name).read_bytes() == (two / name).read_bytes() for name in names)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    """Return what makes a run of a method that nothing kills, once; no test changes it."""
    return functools.cache(lambda method: finished(method, tmp_path_factory.mktemp("whole")))


@pytest.mark.parametrize("step", [1, 2, 5, 6, 7, 17, 24])
@pytest.mark.parametrize("method", ["al", "bp"])
def test_a_killed_run_ends_like_one_that_was_not(
    method: str, step: int, undisturbed: Callable[[str], Run], tmp_path: Path
) -> None:
    whole, whole_state, whole_last = undisturbed(method)
    checkpoints = al.Checkpoints(tmp_path / "killed")
    net, train, validation = make(method)
    with pytest.raises(KilledError, match="killed at"):
        trainer().fit(net, train, validation, callbacks=[KillAt(step)], checkpoints=checkpoints)
    resumed, state, last = finished(method, tmp_path / "killed")
    for key, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key
    assert same_files(last, whole_last)
    assert [r.losses for r in state.records] == [r.losses for r in whole_state.records]
    assert [r.scores for r in state.records] == [r.scores for r in whole_state.records]


def test_resuming_without_the_optimizer_would_differ(
    undisturbed: Callable[[str], Run], tmp_path: Path
) -> None:
    """The test above can fail: weights alone are not enough."""
    _, _, whole = undisturbed("al")
    checkpoints = al.Checkpoints(tmp_path / "killed")
    net, train, validation = make("al")
    with pytest.raises(KilledError, match="killed at"):
        trainer().fit(net, train, validation, callbacks=[KillAt(7)], checkpoints=checkpoints)
    for path in checkpoints.path("last").glob("optimizer-1*"):
        from safetensors.torch import load_file, save_file

        save_file({k: torch.zeros_like(v) for k, v in load_file(path).items()}, path)
    without_digests(tmp_path / "killed")  # which would tell
    _, _, resumed = finished("al", tmp_path / "killed")
    # of the last epoch: the best one may lie before the kill
    weights = "layer-1.safetensors"
    assert (whole / weights).read_bytes() != (resumed / weights).read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_after_the_batch_and_resumes(
    number: int, undisturbed: Callable[[str], Run], tmp_path: Path
) -> None:
    whole, _, _ = undisturbed("al")

    class Signal(Callback):
        def batch_done(self, state: TrainingState, losses: list[dict[str, float]]) -> None:
            if state.step == 9:
                os.kill(os.getpid(), number)

    checkpoints = al.Checkpoints(tmp_path / "killed")
    net, train, validation = make("al")
    with pytest.raises(KeyboardInterrupt):
        al.Trainer(**{**vars(trainer()), "save_every": None}).fit(
            net, train, validation, callbacks=[Signal()], checkpoints=checkpoints
        )
    assert "000009" in checkpoints.path("last").name
    resumed, _, _ = finished("al", tmp_path / "killed")
    for key, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key


def test_patience_survives_a_resume(tmp_path: Path) -> None:
    """The run stops in the same epoch whether or not it was killed while it waited."""
    _, whole, _ = finished("al", tmp_path / "whole", patience=1)
    checkpoints = al.Checkpoints(tmp_path / "killed")
    net, train, validation = make("al")
    with pytest.raises(KilledError, match="killed at"):
        trainer(patience=1).fit(
            net, train, validation, callbacks=[KillAt(7)], checkpoints=checkpoints
        )
    _, state, _ = finished("al", tmp_path / "killed", patience=1)
    assert (state.epoch, state.best_epoch, state.stopped) == (
        whole.epoch,
        whole.best_epoch,
        whole.stopped,
    )


class Sinking:
    """A validation set on which a network that never changes is best in the first epoch."""

    def __len__(self) -> int:
        return 1

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        yield from batches_of(1)[start:]


def test_patience_counts_epochs_without_a_better_score() -> None:
    net = dense_network(2)
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    state = al.Trainer(epochs=50, patience=3).fit(net, al.LoaderBatches(batches_of(2)), Sinking())
    assert (state.epoch, state.best_epoch, state.stopped) == (4, 1, True)


def test_the_best_epoch_on_validation_is_restored(tmp_path: Path) -> None:
    for checkpoints in (None, al.Checkpoints(tmp_path)):
        net, train, validation = make("al")
        trainer = al.Trainer(epochs=6, lr=0.5, judge="full")
        state = trainer.fit(net, train, validation, checkpoints=checkpoints)
        best = max(record.scores[-1] for record in state.records)
        assert al.evaluate(net, validation.epoch(0)).scores[-1] == best
        assert state.records[state.best_epoch - 1].scores[-1] == best


SCHEDULES = {
    "multistep": lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [2, 9, 9, 16, 20], gamma=0.5),
    "onecycle": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=30),
    "sequential": lambda o: torch.optim.lr_scheduler.SequentialLR(
        o,
        [
            torch.optim.lr_scheduler.LinearLR(o, total_iters=5),
            torch.optim.lr_scheduler.MultiStepLR(o, [3, 12]),
        ],
        milestones=[5],
    ),
    "restarts": lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 7),
}


@pytest.mark.filterwarnings("ignore:The epoch parameter in:UserWarning")  # torch's SequentialLR
@pytest.mark.parametrize("kind", SCHEDULES)
def test_every_schedule_goes_on_where_it_was(kind: str, tmp_path: Path) -> None:
    def fit(folder: str, *callbacks: Callback) -> al.Network:
        net, train, validation = make("al")
        settings = {**vars(trainer()), "schedule": SCHEDULES[kind]}
        al.Trainer(**settings).fit(
            net,
            train,
            validation,
            callbacks=callbacks,
            checkpoints=al.Checkpoints(tmp_path / folder),
        )
        return net

    whole = fit("whole")
    with pytest.raises(KilledError, match="killed at"):
        fit("killed", KillAt(15))
    resumed = fit("killed")
    for key, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key


def test_a_loader_with_its_own_generator_resumes_exactly(tmp_path: Path) -> None:
    def fit(folder: str, epochs: int) -> al.Network:
        torch.manual_seed(3)
        net = noisy_network(2)
        x, y = (torch.cat(parts) for parts in zip(*batches_of(6), strict=True))
        own = torch.Generator().manual_seed(5)
        loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True, generator=own)
        checkpoints = al.Checkpoints(tmp_path / folder)
        al.Trainer(epochs=epochs).fit(net, al.LoaderBatches(loader), checkpoints=checkpoints)
        return net

    whole = fit("whole", 4)
    fit("parts", 2)
    resumed = fit("parts", 4)
    for key, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key


def test_other_optimizers_or_schedules_are_refused(tmp_path: Path) -> None:
    finished("al", tmp_path)
    net, train, validation = make("al")
    for change in ({"optimizer": torch.optim.SGD}, {"schedule": None}):
        settings = {**vars(trainer()), "epochs": 9, **change}
        with pytest.raises(al.CheckpointError, match="saved with the optimizers and schedules"):
            al.Trainer(**settings).fit(net, train, validation, checkpoints=al.Checkpoints(tmp_path))


def test_more_patience_lets_a_stopped_run_go_on(tmp_path: Path) -> None:
    def fit(patience: int | None) -> TrainingState:
        net = dense_network(1)
        checkpoints = al.Checkpoints(tmp_path)
        trainer = al.Trainer(epochs=6, lr=1e-9, optimizer=torch.optim.SGD, patience=patience)
        batches = al.LoaderBatches(batches_of(2))
        return trainer.fit(net, batches, batches, checkpoints=checkpoints)

    assert fit(1).epoch == 2
    assert fit(3).epoch == 4
    assert fit(None).epoch == 6


def test_what_a_killed_process_left_behind_is_cleared_away(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    (runs / ".new-abc").mkdir(parents=True)
    killed = Program(_die_as_it_saves, runs / "best-000000001", folder=tmp_path)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert len(list(runs.glob(".new-*"))) == 2
    finished("al", runs)
    assert not list(runs.glob(".new-*"))


def _die_as_it_saves(folder: Path) -> None:
    with replaced_folder(folder) as new:
        (new / "layer-1.safetensors").write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_second_signal_ends_a_process_that_hangs(tmp_path: Path) -> None:
    """The source catches what should interrupt it, as code of others may."""
    process = Program(_hang, folder=tmp_path)
    for lines in (1, 2, 3):
        while process.printed()[0].count("\n") < lines:
            assert process.returncode is None, process.printed()
            time.sleep(0.01)
        if lines < 3:
            process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, "Ended by force" in err) == (130, True)


def _hang() -> None:
    with ending_the_process(0.5), deferred_interrupts() as interrupt:
        os.write(1, b"hanging\n")
        told = False
        while True:
            try:
                time.sleep(0.01)  # no pause: a signal may come just before it
                if interrupt.requested and not told:
                    told = True
                    os.write(1, b"hanging\n")
            except KeyboardInterrupt:
                os.write(1, b"hanging\n")

"""Stages in threads: how they are divided, and what only threads can get wrong."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import associated_learning as al
from associated_learning.state.training_state import StageTime, TrainingState
from associated_learning.training.callbacks import Callback
from faults import KillAt, KilledError
from pipeline_runs import digests, sequential, trained
from small_networks import batches_of, dense_network


@pytest.mark.parametrize("stages", [1, 3, 4, (1, 3)])
def test_any_division_into_stages_ends_with_the_same_bits(stages: Any, tmp_path: Path) -> None:
    """After 60 updates with dropout, BatchNorm, Adam and clipping."""
    trained("threads", tmp_path, stages=stages)
    expected, _ = sequential()
    assert digests(tmp_path) == expected
    assert len(expected) == 4 + 4 + 1  # layers, optimizers, and all the rest


def test_killed_and_resumed_with_other_stages(tmp_path: Path) -> None:
    """Elastic resume: how many stages there were leaves no trace in what was saved."""
    with pytest.raises(KilledError):
        trained("threads", tmp_path / "cut", stages=2, save_every=5, callbacks=[KillAt(33)])
    _, state = trained("threads", tmp_path / "cut", stages=4, save_every=5)
    assert state.step == 60
    assert digests(tmp_path / "cut") == sequential(save_every=5)[0]


def test_validation_does_not_hold_up_training() -> None:
    """While an epoch is validated, the stages are at work on the next one."""
    seen = threading.Event()

    class Trains(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if self.training and threading.current_thread() is not threading.main_thread():
                updates.append(1)
                if len(updates) > 20:
                    seen.set()
            return x

    class Waits:
        def __len__(self) -> int:
            return 1

        def epoch(self, epoch: int, start: int = 0) -> Any:
            assert seen.wait(timeout=60), "no batch of the next epoch began"
            return iter(batches_of(1))

    updates: list[int] = []
    encoders = [nn.Sequential(Trains(), nn.Linear(6, 6)), nn.Linear(6, 6)]
    net = al.al_form(encoders, torch.randn(2, 6), al.Classes(4), latent=5)
    updates.clear()
    al.Trainer(epochs=2, executor="threads", stages=2).fit(
        net, al.LoaderBatches(batches_of(20)), Waits()
    )


@pytest.mark.parametrize("options", [{"stages": 2}, {"executor": "offload", "window": 4}])
def test_a_constant_that_a_layer_hands_on_is_that_of_its_batch(options: dict[str, Any]) -> None:
    """An encoder that returns its own weight: the next batch changes it while others read it."""

    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(8))

        def forward(self, x: Tensor) -> Tensor:
            return self.weight.expand(len(x), 8)

    class Slow(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            threading.Event().wait(0.02)
            return x

    def fit(**options: Any) -> dict[str, Tensor]:
        torch.manual_seed(0)
        encoders = [Constant(), nn.Sequential(Slow(), nn.Linear(8, 8))]
        net = al.al_form(encoders, torch.randn(2, 6), al.Classes(4), latent=5)
        trainer = al.Trainer(epochs=1, lr=0.1, **options)
        trainer.fit(net, al.LoaderBatches(batches_of(8)))
        return net.state_dict()

    expected = fit(executor="sequential")
    torch.testing.assert_close(fit(**{"executor": "threads", **options}), expected, rtol=0, atol=0)


def test_a_bad_batch_is_reported_and_no_thread_stays() -> None:
    before = threading.active_count()
    batches = batches_of(6)
    batches[4][0][0, 0] = float("inf")
    with pytest.raises(al.InputError, match="inputs of batch 4"):
        al.Trainer(epochs=1, executor="threads", stages=3).fit(
            dense_network(3), al.LoaderBatches(batches)
        )
    assert threading.active_count() == before


def test_frozen_parts_never_leave_their_mode() -> None:
    """The next epoch begins to be fed while stages are still at work on the last one."""
    modes = set()

    class Slow(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            alone = threading.current_thread() is threading.main_thread()
            before = self.training
            threading.Event().wait(0.01)
            if not alone:
                modes.add((before, self.training))
            return x

    encoders = [nn.Sequential(Slow(), nn.Linear(6, 6)), nn.Linear(6, 6)]
    net = al.al_form(encoders, torch.randn(2, 6), al.Classes(4), latent=5)
    al.Trainer(epochs=6, freeze=1, executor="threads", stages=2).fit(
        net, al.LoaderBatches(batches_of(4))
    )
    assert modes == {(False, False)}


def test_replicas_need_processes() -> None:
    with pytest.raises(al.InputError, match="replicas=2 came with executor='threads'"):
        al.Trainer(epochs=1, executor="threads", replicas=2).fit(
            dense_network(2), al.LoaderBatches(batches_of(1))
        )


@pytest.mark.parametrize(
    ("executor", "stages", "message"),
    [
        ("threads", 4, "stages=4 came; the network has 3 layers"),
        ("threads", [2, 2], "the network has 3"),
        ("threads", 0, "stages"),
        ("sequential", 2, "stages=2 came with executor='sequential'"),
        ("thread", 2, "executor='thread' came; expected one of .*threads"),
        ("streams", 2, "expected one on a GPU"),
    ],
)
def test_bad_divisions_are_refused(executor: str, stages: Any, message: str) -> None:
    with pytest.raises(al.InputError, match=message):
        al.Trainer(epochs=1, executor=executor, stages=stages).fit(
            dense_network(3), al.LoaderBatches(batches_of(2))
        )


def test_threads_inside_operations_are_divided_and_given_back() -> None:
    torch.set_num_threads(4)
    counts: set[int] = set()

    class Ask(Callback):
        def batch_done(self, state: TrainingState, losses: list[dict[str, float]]) -> None:
            counts.add(torch.get_num_threads())

    al.Trainer(epochs=1, executor="threads", stages=2).fit(
        dense_network(2), al.LoaderBatches(batches_of(2)), callbacks=[Ask()]
    )
    assert counts == {2}
    assert torch.get_num_threads() == 4


def test_stages_work_at_the_same_time() -> None:
    """Each of two stages waits until the other has begun: in turns neither could end."""
    lower_began_second, upper_began_first = threading.Event(), threading.Event()

    class Meets(nn.Module):
        def __init__(self, call: int, own: str, other: str) -> None:
            super().__init__()
            self.call, self.own, self.other, self.calls = call, own, other, 0

        def forward(self, x: Tensor) -> Tensor:
            events = {"lower": lower_began_second, "upper": upper_began_first}
            if threading.current_thread() is not threading.main_thread():
                self.calls += 1
                if self.calls == self.call:
                    events[self.own].set()
                    assert events[self.other].wait(timeout=60)
            return x

    lower = nn.Sequential(Meets(2, "lower", "upper"), nn.Linear(6, 6))
    upper = nn.Sequential(Meets(1, "upper", "lower"), nn.Linear(6, 6))
    net = al.al_form([lower, upper], torch.randn(2, 6), al.Classes(4), latent=5)
    spans: list[list[StageTime]] = []

    class Times(Callback):
        def stages_done(self, step: int, times: list[StageTime]) -> None:
            spans.append(times)

    al.Trainer(epochs=1, executor="threads", stages=2).fit(
        net, al.LoaderBatches(batches_of(3)), callbacks=[Times()]
    )
    (_, upper_first), (lower_second, _), _ = spans
    assert lower_second.begin < upper_first.end
    assert upper_first.begin < lower_second.end

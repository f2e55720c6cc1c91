"""Every executor crossed with what may go wrong in it: all ends, and tells why, and nothing stays.

What hangs can be a layer, what makes the batches, or a callback; two Ctrl-C end any of them.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import associated_learning as al
from associated_learning.pipeline import interrupt
from associated_learning.pipeline.processes import rendezvous
from associated_learning.pipeline.processes.failure_detector import FailureDetector
from associated_learning.pipeline.threads import executor as threads
from associated_learning.state.training_state import TrainingState
from associated_learning.training.callbacks import Callback
from executors import as_torchrun_does
from rank_processes import Place, RankError, Ranks
from small_networks import batches_of

END = 15.0  # seconds after which nothing is left
PATIENCE = 1.0  # seconds of silence; in training it is 5
BATCH = 10  # at which it goes wrong

distributed = pytest.mark.distributed
EXECUTORS = [
    pytest.param(("sequential", None, 1), id="sequential"),
    pytest.param(("threads", 2, 1), id="threads"),
    pytest.param(("offload", None, 1), id="offload"),
    pytest.param(("processes", 2, 2), id="processes", marks=distributed),
]
every_executor = pytest.mark.parametrize("executor", EXECUTORS)


def _at_batch(wrong: Callable[[], object], done: list[int]) -> None:
    done.append(0)
    if len(done) == BATCH:
        wrong()


class Layer(nn.Module):
    """Does at a batch of the training what is wrong."""

    wrong: Callable[[], object] | None = None
    done: list[int] = []  # noqa: RUF012  # of this process

    def forward(self, x: Tensor) -> Tensor:
        if self.training and Layer.wrong is not None:
            _at_batch(Layer.wrong, Layer.done)
        return x


class Source(al.LoaderBatches):
    wrong: Callable[[], object] = int

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Any, Tensor]]:
        done: list[int] = []
        for batch in super().epoch(epoch, start):
            _at_batch(self.wrong, done)
            yield batch


class Hears(Callback):
    def __init__(self, wrong: Callable[[], object]) -> None:
        self._wrong, self._done = wrong, list[int]()

    def batch_done(self, state: TrainingState, losses: list[dict[str, float]]) -> None:
        _at_batch(self._wrong, self._done)


class Rows(Dataset[tuple[Tensor, int]]):
    def __init__(self, wrong: Callable[[], object]) -> None:
        self.wrong = wrong

    def __len__(self) -> int:
        return 8 * 40

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if index == 8 * BATCH:
            self.wrong()
        return torch.zeros(6), index % 4


def network() -> al.ALNetwork:
    """Return two layers of which the upper one may go wrong."""
    torch.manual_seed(3)
    encoders = [nn.Linear(6, 8), nn.Sequential(Layer(), nn.Linear(8, 8))]
    return al.al_form(encoders, torch.randn(4, 6), al.Classes(4), latent=5)


def fit(place: Place, executor: tuple[str, Any, int], where: str, what: str) -> dict[str, Any]:
    """Train in a process until something goes wrong; return the weights if it does not."""
    interrupt._REPEATED, rendezvous._LAST_WORDS, threads._LAST_WORDS = 0.1, 0.5, 0.3
    name, stages, ranks = executor
    if ranks > 1:
        as_torchrun_does(place)
        os.environ["AL_PATIENCE"] = str(PATIENCE)
        watchful = functools.partial(FailureDetector, interval=0.1)
        rendezvous.FailureDetector = watchful  # type: ignore[assignment, misc]
    wrong = functools.partial(WRONG[what], place)
    source: al.LoaderBatches = al.LoaderBatches(batches_of(40))
    callbacks = []
    if where == "layer":
        Layer.wrong = wrong
    elif where == "source":
        source = Source(batches_of(40))
        source.wrong = wrong
    elif where == "worker":
        multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
        source = al.LoaderBatches(DataLoader(Rows(wrong), batch_size=8, num_workers=1))
        callbacks = [Hears(_never_ends)]
    elif place.rank == 0:
        callbacks = [Hears(wrong)]
    net = network()
    trainer = al.Trainer(epochs=1, executor=name, stages=stages)  # type: ignore[arg-type]
    # as the command line does; alone, Python ends what it can
    forced = ranks > 1 or where == "worker"
    with interrupt.ending_the_process(2.0) if forced else contextlib.nullcontext():
        trainer.fit(net, source, callbacks=callbacks)
    return {key: value.numpy() for key, value in net.state_dict().items()}


def _raise(place: Place) -> None:
    raise ValueError("it is broken")


def _exit(place: Place) -> None:
    os._exit(7)


def _hang(place: Place) -> None:
    place.tell(os.getpid())
    if place.size > 1:
        _never_ends()
    time.sleep(1000)


def _never_ends() -> None:
    """Take no notice of Ctrl-C, as code of others may."""
    while True:
        with contextlib.suppress(KeyboardInterrupt):
            time.sleep(1000)


def _pause(place: Place) -> None:
    place.tell(os.getpid())
    time.sleep(0.2)  # in which it is stopped


def _hold_lock(place: Place) -> None:
    """Compute for more than the patience without giving up Python's lock."""
    begin = time.monotonic()
    sum(range(10**6))
    sum(range(int(2.5 * PATIENCE / (time.monotonic() - begin) * 10**6)))


WRONG = {
    "raises": _raise, "exits": _exit, "hangs": _hang, "pauses": _pause, "holds lock": _hold_lock,
    "nothing": lambda place: None,
}  # fmt: skip


def ends(ranks: Ranks) -> list[str]:
    """Return how each process ended, all of them in time."""
    found, begin = [], time.monotonic()
    for rank in range(len(ranks.processes)):
        try:
            ranks.result(rank)
            found.append("finished")
        except RankError as error:
            found.append(str(error))
        ranks.exit_code(rank)
    assert time.monotonic() - begin < END
    return found


@every_executor
def test_what_raises_is_told(executor: tuple[str, Any, int]) -> None:
    with Ranks(fit, executor[2], executor, "layer", "raises") as ranks:
        assert all("it is broken" in end for end in ends(ranks))


@every_executor
def test_what_exits_leaves_nobody_behind(executor: tuple[str, Any, int]) -> None:
    """The process of the layer is gone; the others name its rank."""
    with Ranks(fit, executor[2], executor, "layer", "exits") as ranks:
        *others, last = ends(ranks)
        assert last.endswith("ended with exit code 7")
        assert all("PipelineError" in end and "rank 1" in end for end in others)


@every_executor
@pytest.mark.parametrize("where", ["layer", "source", "callback"])
def test_two_ctrl_c_end_what_hangs(executor: tuple[str, Any, int], where: str) -> None:
    with Ranks(fit, executor[2], executor, where, "hangs") as ranks:
        ranks.told(executor[2] - 1 if where == "layer" else 0)
        for _ in range(2):
            for rank in range(executor[2]):
                ranks.signal(rank, signal.SIGINT)
            time.sleep(0.2)  # as a user does, so that torchrun's repeated one is not taken for it
        for rank in range(executor[2]):
            if not ranks.says(rank, within=2):  # it was not running in between, and heard but one
                ranks.signal(rank, signal.SIGINT)
        for end in ends(ranks):
            assert "KeyboardInterrupt" in end or "exit code 130" in end or "interrupted" in end


@distributed
def test_a_rank_that_hangs_ends_when_another_was_killed() -> None:
    with Ranks(fit, 2, ("processes", 2, 2), "layer", "hangs") as ranks:
        ranks.told(1)
        ranks.signal(0, signal.SIGKILL)
        assert ends(ranks) == ["rank 0 ended with exit code -9", "rank 1 ended with exit code 2"]


def test_a_worker_of_a_loader_that_hangs_ends_with_its_run() -> None:
    """Also where the run itself must be ended by force."""
    executor = ("threads", 2, 1)
    with Ranks(fit, 1, executor, "worker", "hangs") as ranks:
        worker = Path(f"/proc/{ranks.told(0)}/stat")
        for _ in range(2):
            ranks.signal(0, signal.SIGINT)
            time.sleep(0.05)
        ends(ranks)
        end = time.monotonic() + END
        while worker.exists() and time.monotonic() < end:
            time.sleep(0.05)
        assert not worker.exists()


@every_executor
def test_what_is_stopped_goes_on_or_is_told(executor: tuple[str, Any, int]) -> None:
    """A rank that stands still ends all, itself too, which is woken for it."""
    with Ranks(fit, executor[2], executor, "layer", "pauses") as ranks:
        last = executor[2] - 1
        ranks.told(last)
        ranks.signal(last, signal.SIGSTOP)
        if last == 0:
            ranks.signal(0, signal.SIGCONT)
            assert ends(ranks) == ["finished"]
            return
        for end in ends(ranks):
            assert "rank 1 gave no sign of life" in end
            assert "its process was stopped, as SIGSTOP and debuggers do" in end


@distributed
def test_a_rank_that_computes_with_pythons_lock_is_waited_for() -> None:
    executor = ("processes", 2, 2)
    with Ranks(fit, 2, executor, "layer", "holds lock") as ranks:
        busy = ranks.results()
    with Ranks(fit, 1, ("sequential", None, 1), "layer", "nothing") as ranks:
        (expected,) = ranks.results()
    for weights in busy:
        assert all((weights[name] == value).all() for name, value in expected.items())

"""Whatever happens to one process, all others know of it within seconds, and why."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch.distributed as dist

from associated_learning.errors import InputError, NonFiniteLossError, PipelineError
from associated_learning.pipeline.channel import Channel
from associated_learning.pipeline.items import Minibatch
from associated_learning.pipeline.processes.failure_detector import FailureDetector
from associated_learning.pipeline.processes.heartbeats import Heartbeats
from associated_learning.pipeline.processes.transfers import Receiver, Sender
from associated_learning.pipeline.processes.transport import abort
from rank_processes import Place, RankError, Ranks

PATIENCE = 1.5  # seconds of silence; in training it is 5
END = 10.0  # seconds after which all ranks must have ended


def watch_of(place: Place) -> FailureDetector:
    return FailureDetector(place.connect(), place.rank, place.size, patience=PATIENCE, interval=0.1)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    begin = time.monotonic()
    yield
    assert time.monotonic() - begin < seconds


def _wait(place: Place, failing: Callable[[Place], None] | None = None) -> None:
    """Wait on a channel as a stage does, until the watch closes it."""
    channel: Channel[None] = Channel(1)
    with watch_of(place) as watch:
        watch.on_failure(channel.close)
        place.tell("ready")
        if failing is not None and place.rank == 1:
            place.hear()
            failing(place)
        channel.get()


def _lose(place: Place) -> None:
    raise NonFiniteLossError("the loss of layer 2 is not finite")


def started(size: int, *args: Any) -> Ranks:
    ranks = Ranks(_wait, size, *args)
    for rank in range(size):
        ranks.told(rank)
    return ranks


def reason(ranks: Ranks, rank: int) -> str:
    with pytest.raises(RankError) as caught:
        ranks.result(rank)
    return str(caught.value)


@pytest.mark.distributed
def test_an_error_on_one_rank_is_that_of_all() -> None:
    with started(3, _lose) as ranks, within(END):
        ranks.say(1)
        told = "PipelineError: rank 1 failed: NonFiniteLossError: the loss of layer 2"
        assert reason(ranks, 0).startswith(told)
        assert reason(ranks, 2).startswith(told)
        assert reason(ranks, 1).startswith("NonFiniteLossError: the loss of layer 2")
        assert [ranks.exit_code(rank) for rank in range(3)] == [0, 0, 0]


@pytest.mark.distributed
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_that_was_killed_or_hangs_is_missed(number: signal.Signals) -> None:
    with started(3) as ranks, within(END):
        ranks.signal(1, number)
        texts = {reason(ranks, rank) for rank in (0, 2)}
        assert len(texts) == 1
        assert "rank 1 gave no sign of life for 1.5 seconds" in texts.pop()
        assert [ranks.exit_code(rank) for rank in (0, 2)] == [0, 0]
        if number is signal.SIGSTOP:  # it was woken, to learn of it
            assert "rank 1 gave no sign of life" in reason(ranks, 1)
            assert ranks.exit_code(1) == 0


@pytest.mark.distributed
def test_stopping_all_processes_for_a_while_harms_nothing() -> None:
    """As Ctrl-Z does, or a virtual machine that is paused."""
    with started(3, _lose) as ranks:
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for rank in range(3):
                ranks.signal(rank, number)
            time.sleep(1.3 * PATIENCE)
        ranks.say(1)
        assert "rank 1 failed: NonFiniteLossError" in reason(ranks, 0)


def _keep_store(place: Place) -> None:
    server = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    place.tell(server.port)
    place.hear()


@pytest.mark.distributed
@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (signal.SIGSTOP, "rank {} has been cut off from the others for 1.5 seconds"),
        (signal.SIGKILL, "rank {} lost the store of the run"),
    ],
)
def test_who_cannot_reach_the_store_ends(number: signal.Signals, expected: str) -> None:
    with Ranks(_keep_store, 1) as keeper, Ranks(_wait, 2, port=keeper.told(0)) as ranks:
        for rank in (0, 1):
            ranks.told(rank)
        with within(END):
            keeper.signal(0, number)
            for rank in (0, 1):
                assert expected.format(rank) in reason(ranks, rank)


def _compute(place: Place) -> str:
    """Be the middle or an end of a pipeline that is under way, with threads inside gloo."""
    place.join()
    with watch_of(place) as watch:
        watch.on_failure(lambda _: abort())
        inbox: Channel[Any] = Channel(1)
        outbox: Channel[Any] = Channel(1)
        for channel in (inbox, outbox):
            watch.on_failure(channel.close)
        if place.rank < place.size - 1:
            Sender(outbox, place.rank + 1, lost=watch.fail).start()
        if place.rank > 0:
            Receiver(inbox, place.rank - 1, lost=watch.fail).start()
        step = 0
        while True:
            item = inbox.get() if place.rank else Minibatch(step, torch.ones(10**5), torch.ones(2))
            if step == 20:
                place.tell("under way")
            if place.rank < place.size - 1:
                outbox.put(item)
            step += 1


@pytest.mark.distributed
@pytest.mark.parametrize(
    ("victim", "number"),
    [(0, signal.SIGKILL), (1, signal.SIGKILL), (1, signal.SIGSTOP), (2, signal.SIGSTOP)],
)
def test_all_others_end_whatever_they_were_waiting_for(victim: int, number: signal.Signals) -> None:
    with Ranks(_compute, 3) as ranks:
        for rank in range(3):
            ranks.told(rank)
        with within(END):
            ranks.signal(victim, number)
            others = [rank for rank in range(3) if rank != victim]
            texts = {reason(ranks, rank) for rank in others}
            assert len(texts) == 1
            assert f"rank {victim} " in texts.pop()
            assert [ranks.exit_code(rank) for rank in others] == [0, 0]


def _interrupt(place: Place) -> str:
    with watch_of(place) as watch:
        if place.rank == 2:
            signal.signal(signal.SIGTERM, lambda *_: watch.request_interrupt())
        place.tell("ready")
        if place.rank == 0:
            while not watch.interrupted:
                time.sleep(0.01)
            return "interrupted"
        return ""  # waits in leaving, until all leave


@pytest.mark.distributed
def test_a_signal_to_any_rank_reaches_rank_0() -> None:
    with Ranks(_interrupt, 3) as ranks, within(END):
        for rank in range(3):
            ranks.told(rank)
        ranks.signal(2, signal.SIGTERM)
        assert ranks.results() == ["interrupted", "", ""]


def _leave(place: Place) -> None:
    with watch_of(place):
        place.tell("ready")
        if place.rank == 0:
            place.hear()


@pytest.mark.distributed
def test_nobody_leaves_before_all_do() -> None:
    with Ranks(_leave, 3) as ranks:
        for rank in range(3):
            ranks.told(rank)
        ranks.processes[1].join(1.3 * PATIENCE)
        assert all(process.is_alive() for process in ranks.processes)
        ranks.say(0)
        ranks.results()
        assert [ranks.exit_code(rank) for rank in range(3)] == [0, 0, 0]


def pair(store: dist.Store) -> list[FailureDetector]:
    """Two ranks of one process."""
    return [
        FailureDetector(store.clone(), rank, 2, patience=30.0, interval=0.02) for rank in (0, 1)
    ]


def test_the_first_failure_is_that_of_all() -> None:
    first, second = pair(dist.HashStore())
    first.__enter__()
    second.__enter__()
    assert str(first.fail(ValueError("one"))) == "rank 0 failed: ValueError: one"
    assert str(second.fail(ValueError("two"))) == "rank 0 failed: ValueError: one"
    with pytest.raises(PipelineError, match="rank 0 failed: ValueError: one"):
        second.__exit__(ValueError, ValueError("two"), None)
    first.__exit__(ValueError, ValueError("one"), None)  # whose own error goes on


def test_those_who_ask_later_are_told_at_once() -> None:
    told: list[PipelineError] = []
    with (
        pytest.raises(PipelineError, match="rank 0 failed"),
        FailureDetector(dist.HashStore(), 0, 1) as watch,
    ):
        watch.on_failure(told.append)
        failure = watch.fail(ValueError("full disk"))
        watch.on_failure(told.append)
        assert told == [failure, failure] == [watch.failure] * 2


def test_one_that_cannot_be_stopped_keeps_no_other_from_it() -> None:
    stopped = threading.Event()

    def refuse(failure: PipelineError) -> None:
        raise RuntimeError("no")

    watch = FailureDetector(dist.HashStore(), 0, 1)
    with pytest.raises(PipelineError, match="full disk"), watch:
        watch.on_failure(refuse)
        watch.on_failure(lambda _: stopped.set())
        watch.fail(ValueError("full disk"))
        assert stopped.is_set()


def test_an_interrupted_rank_goes_on_being_interrupted() -> None:
    first, second = pair(dist.HashStore())
    second.__enter__()
    with pytest.raises(KeyboardInterrupt), first:
        raise KeyboardInterrupt
    assert str(second.fail(ValueError("two"))) == "rank 0 was interrupted"
    with pytest.raises(PipelineError, match="rank 0 was interrupted"):
        second.__exit__(None, None, None)


def test_silence_is_counted_from_the_last_new_sign() -> None:
    pulses = Heartbeats()
    found = [
        pulses.silent({1: one, 2: two}, elapsed=1.0, patience=2.0)
        for one, two in [(b"a", b"a"), (b"b", b"a"), (b"c", b"a"), (b"d", b"a"), (b"d", b"b")]
    ]
    assert found == [[], [], [], [2], []]


def test_patience_is_set_by_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    from associated_learning.pipeline.processes.rendezvous import _patience

    monkeypatch.delenv("AL_PATIENCE", raising=False)
    assert _patience() == 5.0
    monkeypatch.setenv("AL_PATIENCE", "60")
    assert _patience() == 60.0
    for told in ("0", "nan", "x", "1e9"):
        monkeypatch.setenv("AL_PATIENCE", told)
        with pytest.raises(InputError, match=f"AL_PATIENCE='{told}' came; expected seconds"):
            _patience()

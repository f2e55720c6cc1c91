"""Channels of two processes, joined: order, back-pressure, ends and losses."""

from __future__ import annotations

import signal
import threading
import time
from typing import Any

import pytest
import torch

from associated_learning.errors import NonFiniteLossError, PipelineError
from associated_learning.pipeline.channel import Channel
from associated_learning.pipeline.items import End, Failure, Marker, Minibatch
from associated_learning.pipeline.processes.transfers import Receiver, Sender
from rank_processes import Place, Ranks

pytestmark = pytest.mark.distributed


def job(step: int) -> Minibatch:
    return Minibatch(step, torch.full((4 + step % 3, 1000), float(step)), torch.full((2,), step))


def rest_of(channel: Channel[Any]) -> list[Any]:
    """Take everything out of a channel up to the end."""
    items = [channel.get()]
    while not isinstance(items[-1], (End, Failure)):
        items.append(channel.get())
    return items


def _flow(place: Place, count: int, pauses: tuple[float, float]) -> list[bool]:
    place.join()
    channel: Channel[Any] = Channel(1)
    if place.rank == 0:
        sender = Sender(channel, 1)
        sender.start()
        for step in range(count):
            time.sleep(pauses[0])
            channel.put(job(step))
            channel.put(Marker())
        channel.put(End())
        sender.join()
        return []
    Receiver(channel, 0).start()
    right = []
    for step in range(count):
        time.sleep(pauses[1])
        arrived, expected = channel.get(), job(step)
        right.append(
            arrived.step == step
            and torch.equal(arrived.s, expected.s)
            and torch.equal(arrived.t, expected.t)
            and channel.get() == Marker()
        )
    assert channel.get() == End()
    return right


@pytest.mark.parametrize("pauses", [(0.0, 0.0), (0.01, 0.0), (0.0, 0.01)])
def test_items_arrive_in_order_whoever_is_slower(pauses: tuple[float, float]) -> None:
    with Ranks(_flow, 2, 20, pauses) as ranks:
        assert ranks.results() == [[], [True] * 20]
        assert [ranks.exit_code(rank) for rank in (0, 1)] == [0, 0]


def _press(place: Place) -> int:
    """Take nothing out at first, and return how many items were put in meanwhile."""
    place.join()
    channel: Channel[Any] = Channel(2)
    if place.rank == 1:
        Receiver(channel, 0).start()
        place.hear()
        return len(rest_of(channel))
    sender = Sender(channel, 1)
    sender.start()
    put = 0

    def feed() -> None:
        nonlocal put
        for step in range(30):
            channel.put(job(step))
            put += 1
        channel.put(End())

    feeder = threading.Thread(target=feed)
    feeder.start()
    time.sleep(0.5)  # long enough to put in all thirty, if nothing held them back
    meanwhile = put
    place.tell("full")
    sender.join()
    return meanwhile


def test_a_slow_stage_holds_the_sender_back() -> None:
    with Ranks(_press, 2) as ranks:
        ranks.told(0)
        ranks.say(1)
        # two in either channel, one in the hand of either pump
        assert ranks.results() == [6, 31]


def _close_early(place: Place) -> str:
    place.join()
    channel: Channel[Any] = Channel(1)
    if place.rank == 0:
        sender = Sender(channel, 1)
        sender.start()
        for step in range(20):
            channel.put(job(step))
        channel.put(End())
        sender.join()
        return "all sent"
    receiver = Receiver(channel, 0)
    receiver.start()
    channel.get()
    channel.close()
    receiver.join()
    return "closed"


def test_a_stage_that_wants_no_more_does_not_hold_the_sender_back() -> None:
    with Ranks(_close_early, 2) as ranks:
        assert ranks.results() == ["all sent", "closed"]


def _end(place: Place, how: str) -> str:
    place.join()
    channel: Channel[Any] = Channel(4)
    if place.rank == 1:
        Receiver(channel, 0).start()
        return repr(rest_of(channel)[-1])
    sender = Sender(channel, 1)
    sender.start()
    channel.put(Marker())
    if how == "failure":
        channel.put(Failure(NonFiniteLossError("layer 2 at batch 7")))
    else:
        channel.close()
    sender.join()
    return ""


@pytest.mark.parametrize(
    ("how", "last"),
    [("failure", "Failure(error=NonFiniteLossError('layer 2 at batch 7'))"), ("closed", "End()")],
)
def test_both_sides_come_to_an_end(how: str, last: str) -> None:
    with Ranks(_end, 2, how) as ranks:
        assert ranks.results()[1] == last


def _lose(place: Place, sending: bool) -> tuple[str, str]:
    place.join()
    place.tell("ready")
    if place.rank == 1:
        place.hear()  # never
    seen: list[BaseException] = []

    def lost(error: BaseException) -> BaseException:
        seen.append(error)
        return PipelineError("rank 7 failed first")

    channel: Channel[Any] = Channel(1)
    pump = Sender(channel, 1, lost=lost) if sending else Receiver(channel, 1, lost=lost)
    pump.start()
    with pytest.raises(PipelineError) as caught:
        while True:
            channel.put(job(10**6)) if sending else channel.get()
    pump.join()
    return str(seen[0]), str(caught.value)


@pytest.mark.parametrize("sending", [True, False])
def test_a_lost_connection_closes_the_channel_with_what_failed_first(sending: bool) -> None:
    with Ranks(_lose, 2, sending) as ranks:
        for rank in (0, 1):
            ranks.told(rank)
        ranks.signal(1, signal.SIGKILL)
        seen, raised = ranks.result(0)
        assert seen.startswith("the connection to rank 1 is lost")
        assert raised == "rank 7 failed first"


def _between_gpus(place: Place) -> list[bool]:
    device = torch.device("cuda", place.rank)
    torch.cuda.set_device(device)
    place.join("cpu:gloo,cuda:nccl")
    channel: Channel[Any] = Channel(1)
    pump = (Sender if place.rank == 0 else Receiver)(channel, 1 - place.rank, device=device)
    pump.start()
    if place.rank == 0:
        for step in range(20):
            # still being computed when it is put into the channel
            batch = torch.full((500, 500), float(step), device=device) @ torch.eye(500).to(device)
            channel.put(Minibatch(step, (batch, torch.tensor(step)), batch[:2]))
        channel.put(End())
        pump.join()
        return []
    right = []
    for item in rest_of(channel)[:-1]:
        (batch, step), t = item.s, item.t
        right.append(
            batch.device == t.device == device
            and step.device.type == "cpu"
            and bool((batch == item.step).all() and (t == item.step).all())
        )
    return right


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_cuda_tensors_travel_from_gpu_to_gpu() -> None:
    with Ranks(_between_gpus, 2) as ranks:
        assert ranks.results() == [[], [True] * 20]

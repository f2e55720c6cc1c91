"""Two processes exchange structures over gloo."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest
import torch
import torch.distributed as dist

from associated_learning.errors import InputError, PipelineError
from associated_learning.pipeline.processes.transport import abort, receive, send
from rank_processes import Place, RankError, Ranks

pytestmark = pytest.mark.distributed


def structure(seed: int) -> dict[str, Any]:
    """Return another structure of other shapes for every seed."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "step": seed,
        "s": (torch.randn(3 + seed, 200, 100 * (seed % 3), generator=generator), None),
        "t": [torch.randn(2, seed, generator=generator).T, torch.tensor(seed)],
        "text": "x" * 3000 * (seed % 4),  # at times longer than the first message
    }


def same(one: Any, two: Any) -> bool:
    tensors = zip((one["s"][0], *one["t"]), (two["s"][0], *two["t"]), strict=True)
    rest = (one["step"], one["text"]) == (two["step"], two["text"])
    return rest and all(torch.equal(a, b) and a.stride() == b.stride() for a, b in tensors)


def _send_all(place: Place, count: int) -> list[bool]:
    place.join()
    if place.rank == 0:
        for seed in range(count):
            send(structure(seed), 1)
        return []
    return [same(receive(0), structure(seed)) for seed in range(count)]


def test_structures_of_changing_shapes_arrive_in_order() -> None:
    with Ranks(_send_all, 2, 12) as ranks:
        assert ranks.results() == [[], [True] * 12]
        assert [ranks.exit_code(rank) for rank in (0, 1)] == [0, 0]


def _send_rounded(place: Place) -> list[torch.dtype]:
    place.join()
    if place.rank == 0:
        send([torch.full((2,), 1 / 3), torch.arange(3)], 1, bf16=True)
        return []
    third, counts = receive(0)
    assert torch.equal(third, torch.full((2,), 1 / 3).bfloat16().float())
    return [third.dtype, counts.dtype]


def test_bf16_on_the_way() -> None:
    with Ranks(_send_rounded, 2) as ranks:
        assert ranks.results()[1] == [torch.float32, torch.int64]


def _cross(place: Place, count: int) -> int:
    """Two groups, both directions, four threads: nothing may get into the wrong hands."""
    place.join()
    groups, peer = [dist.new_group([0, 1]) for _ in range(2)], 1 - place.rank
    right = []

    def give(number: int) -> None:
        for seed in range(count):
            send((number, seed, place.rank, torch.full((seed * 1000,), seed)), peer, groups[number])

    def take(number: int) -> None:
        for seed in range(count):
            *rest, tensor = receive(peer, groups[number])
            fits = torch.equal(tensor, torch.full((seed * 1000,), seed))
            right.append(rest == [number, seed, peer] and fits)

    threads = [threading.Thread(target=f, args=(n,)) for f in (give, take) for n in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(right)


def test_threads_do_not_interleave() -> None:
    with Ranks(_cross, 2, 40) as ranks:
        assert ranks.results() == [80, 80]


def _lose_peer(place: Place, sending: bool) -> str:
    place.join()
    place.tell("ready")
    if place.rank == 1:
        place.hear()  # never
    with pytest.raises(PipelineError) as caught:
        if sending:
            while True:
                send(torch.zeros(10**6), 1)
        receive(1)
    return str(caught.value)


@pytest.mark.parametrize("sending", [True, False])
def test_the_lost_rank_is_named(sending: bool) -> None:
    with Ranks(_lose_peer, 2, sending) as ranks:
        for rank in (0, 1):
            ranks.told(rank)
        ranks.signal(1, signal.SIGKILL)
        assert "the connection to rank 1 is lost" in ranks.result(0)
        assert ranks.exit_code(0) == 0


def _wake(place: Place) -> list[str]:
    """Block one thread in a receive and one in a send, and wake both."""
    place.join()
    group = dist.new_group([0, 1])
    place.tell(os.getpid())
    place.hear()
    if place.rank == 1:
        return []
    raised: list[str] = []

    def wait(action: Any, *args: Any) -> None:
        with pytest.raises(PipelineError) as caught:
            action(*args)
        raised.append(str(caught.value))

    large = torch.zeros(10**7)
    waits = [(receive, 1, group), (send, large, 1, group)]
    threads = [threading.Thread(target=wait, args=args) for args in waits]
    for thread in threads:
        thread.start()
    place.tell("waiting")
    place.hear()
    abort(group)
    for thread in threads:
        thread.join()
    return raised


def test_abort_wakes_threads_that_wait_for_a_process_that_hangs() -> None:
    with Ranks(_wake, 2) as ranks:
        for rank in (0, 1):
            ranks.told(rank)
        ranks.signal(1, signal.SIGSTOP)
        ranks.say(0)
        ranks.told(0)
        ranks.say(0)
        first, second = ranks.result(0)
        assert "connection to rank 1 is lost" in first
        assert "connection to rank 1 is lost" in second
        assert ranks.exit_code(0) == 0


def _refuse(place: Place) -> str:
    place.join()
    if place.rank == 0:
        with pytest.raises(InputError, match="only plain dense tensors") as caught:
            send(torch.eye(2).to_sparse(), 1)
        send(str(caught.value), 1)
        return ""
    text: str = receive(0)
    return text


def test_what_cannot_be_sent_breaks_nothing() -> None:
    with Ranks(_refuse, 2) as ranks:
        assert "to_dense" in ranks.results()[1]


def _fail(place: Place) -> None:
    raise InputError("no data")


def test_ranks_report_their_errors() -> None:
    """The tests' own harness: an error on a rank is not taken for success."""
    with Ranks(_fail, 1) as ranks, pytest.raises(RankError, match="InputError: no data"):
        ranks.result(0)

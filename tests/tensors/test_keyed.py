"""Seeds from keys, and torch's own generators seeded with them."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from associated_learning.tensors.randomness.generators import GeneratorLock, shared_generators
from associated_learning.tensors.randomness.keyed import StepKey, derive_seed, seeded


def test_keys_that_differ_give_other_seeds() -> None:
    keys = [(s, i, j) for s in range(10) for i in range(10) for j in range(10)]
    keys += [(1, 23), (12, 3), (123,), ("1", 23), (1, "23"), ("123",), ("1", "2", "3"), ()]
    seeds = {derive_seed(*key) for key in keys}
    assert len(seeds) == len(keys)
    assert all(0 <= seed < 2**63 for seed in seeds)  # what torch.Generator takes
    assert derive_seed(*StepKey(seed=1, layer=2, step=3)) == derive_seed(1, 2, 3)


def test_a_block_draws_what_torch_draws_with_the_seed() -> None:
    expected = torch.rand(3, generator=torch.Generator().manual_seed(derive_seed("key", 1)))
    with seeded("key", 1):
        assert torch.equal(torch.rand(3), expected)


def test_the_generators_go_on_as_if_the_block_had_not_been() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with pytest.raises(KeyError, match="mine"), seeded("key"):
        torch.rand(5)
        raise KeyError("mine")
    assert torch.equal(torch.rand(2), expected)


def test_two_threads_are_not_seeded_at_the_same_time() -> None:
    """Each would draw from the other's seed."""
    barrier, rounds = threading.Barrier(2, timeout=60), 40

    def work(thread: int) -> list[torch.Tensor]:
        barrier.wait()
        found = []
        for n in range(rounds):
            with seeded(thread, n):
                found.append(torch.cat([torch.rand(2000).sort().values for _ in range(3)]))
        return found

    alone = []
    for thread in (0, 1):
        seeds = [torch.Generator().manual_seed(derive_seed(thread, n)) for n in range(rounds)]
        draw = [
            [torch.rand(2000, generator=seed).sort().values for _ in range(3)] for seed in seeds
        ]
        alone.append([torch.cat(parts) for parts in draw])
    with ThreadPoolExecutor(2) as pool:
        for found, expected in zip(pool.map(work, (0, 1)), alone, strict=True):
            assert all(map(torch.equal, found, expected))


def test_who_holds_the_generators_lets_others_wait() -> None:
    entered = threading.Event()

    def enter() -> None:
        with seeded("other"):
            entered.set()

    with ThreadPoolExecutor(1) as pool:
        with GeneratorLock(shared_generators()), seeded("mine"):  # twice, by the same thread
            waiting = pool.submit(enter)
            assert not entered.wait(0.2)
        waiting.result(timeout=60)
    assert entered.is_set()


def draw(found: multiprocessing.Queue[list[float]]) -> None:
    with seeded("child"):
        found.put(torch.rand(2).tolist())


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_process_does_not_wait_for_a_thread_that_it_lacks() -> None:
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        with seeded("thread"):
            held.set()
            free.wait(60)

    context = multiprocessing.get_context("fork")
    found = context.Queue()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(hold)
        assert held.wait(60)
        child = context.Process(target=draw, args=(found,))
        child.start()
        try:
            expected = torch.rand(2, generator=torch.Generator().manual_seed(derive_seed("child")))
            assert found.get(timeout=60) == expected.tolist()
        finally:
            free.set()
            child.kill()
            child.join()

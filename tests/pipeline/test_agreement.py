"""Ranks find each other and compare what they bring, also in a store that was used before."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta

import pytest
import torch.distributed as dist

from associated_learning.errors import InputError, PipelineError
from associated_learning.pipeline.processes.agreement import agree, differences
from rank_processes import Place, Ranks


def together(
    store: dist.Store, found: Sequence[dict[str, str] | None], timeout: float = 30.0
) -> list[str | Exception]:
    """Let threads be the ranks; a rank that brings None does not come."""
    outcomes: list[str | Exception] = [""] * len(found)

    def run(rank: int, values: dict[str, str]) -> None:
        try:
            outcomes[rank] = agree(values, store, rank, len(found), timeout=timeout)
        except Exception as error:
            outcomes[rank] = error

    ranks = [(r, values) for r, values in enumerate(found) if values is not None]
    threads = [threading.Thread(target=run, args=args) for args in reversed(ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_a_new_name_for_every_run_in_the_same_store() -> None:
    store = dist.HashStore()
    names = [together(store, [{"torch": "2.13"}] * 3) for _ in range(5)]
    assert all(len(set(run)) == 1 for run in names)
    assert len({run[0] for run in names}) == 5


def test_the_remains_of_an_earlier_run_are_not_mistaken_for_its_ranks() -> None:
    """Torchrun keeps its store when it starts the processes again."""
    store = dist.HashStore()
    together(store, [{"torch": "2.12"}] * 3)
    outcomes = together(store, [{"torch": "2.13"}, None, {"torch": "2.13"}], timeout=0.5)
    assert [type(outcomes[rank]) for rank in (0, 2)] == [PipelineError, PipelineError]
    again = together(store, [{"torch": "2.13"}] * 3)
    assert all(isinstance(name, str) for name in again)


def test_all_ranks_name_the_same_differences() -> None:
    found = [{"torch": "2.13", "lr": "1"}, {"torch": "2.12", "lr": "1"}, {"torch": "2.13"}]
    outcomes = together(dist.HashStore(), found)
    assert {type(outcome) for outcome in outcomes} == {InputError}
    (message,) = {str(outcome) for outcome in outcomes}
    assert "torch: '2.13' on ranks 0, 2; '2.12' on rank 1" in message
    assert "lr: '1' on ranks 0, 1; 'nothing' on rank 2" in message


def test_of_long_texts_only_the_lines_that_differ_are_shown() -> None:
    texts = [f"data: sst2\nlr: {lr}\nepochs: 3\n" for lr in (1, 1, 2)]
    (line,) = differences([{"config": text} for text in texts])
    assert line == "config: 'lr: 1' on ranks 0, 1; 'lr: 2' on rank 2"


def test_ranks_that_do_not_arrive_are_named() -> None:
    outcomes = together(dist.HashStore(), [{}, None, {}, None], timeout=0.3)
    assert str(outcomes[0]).startswith("ranks 1, 3 did not arrive within 0.3 seconds")
    assert str(outcomes[2]).startswith("ranks 1, 3 did not arrive within 0.3 seconds")


def test_a_missing_first_rank_is_named() -> None:
    outcomes = together(dist.HashStore(), [None, {}, {}], timeout=0.3)
    assert {str(o).partition(" seconds")[0] for o in outcomes[1:]} == {
        "rank 0 did not arrive within 0.3"
    }


def test_a_store_that_is_gone_is_an_error_of_the_pipeline() -> None:
    server = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    port = server.port
    client = dist.TCPStore(
        "127.0.0.1", port, is_master=False, wait_for_workers=False, timeout=timedelta(seconds=5)
    )
    del server
    with pytest.raises(PipelineError, match="rank 1 lost the store of the run"):
        agree({}, client, 1, 2)


def _agree(place: Place) -> str:
    name = agree({"torch": "2.13"}, place.connect(), place.rank, place.size)
    store = dist.PrefixStore(name, place.connect())
    dist.init_process_group("gloo", store=store, rank=place.rank, world_size=place.size)
    dist.barrier()
    return name


@pytest.mark.distributed
def test_processes_that_are_started_again_find_each_other() -> None:
    """Without names of their own they would connect to the processes before them."""
    with Ranks(_agree, 3) as first:
        (before,) = set(first.results())
        with Ranks(_agree, 3, port=first.port) as second:
            (after,) = set(second.results())
    assert before != after

"""The processes of a contestant: started once, asleep between their rounds."""

from __future__ import annotations

import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

import torch
from networks import Lengths
from run import RankRun
from traffic import bytes_on_loopback

from associated_learning.verification.memory import keep_freed_memory

__all__ = ["Run", "Team"]

_SPAWN = multiprocessing.get_context("spawn")


class Run(NamedTuple):
    """A run of all ranks together.

    Attributes:
        seconds: From the first rank's begin to the last one's end.
        bubble: Share of that time in which the computing threads did not compute, their mean.
        sent: Bytes that all ranks together sent through the network.
        blocks: Seconds of every AL block.
    """

    seconds: float
    bubble: float
    sent: int
    blocks: list[float]


class Team:
    """Processes with the environment that torchrun gives, each with one contestant in it.

    They wait for commands at a pipe, which costs no processor time.

    Args:
        make: Makes the contestant in each process.
        ranks: Number of processes.
        threads: Intra-op threads of each.
    """

    def __init__(self, make: Callable[[], Any], *, ranks: int, threads: int) -> None:
        port = _free_port()
        self._pipes: list[Connection] = []
        self._processes = []
        for rank in range(ranks):
            ours, theirs = _SPAWN.Pipe()
            place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks}
            place |= {"LOCAL_WORLD_SIZE": ranks, "MASTER_PORT": port}
            process = _SPAWN.Process(target=_serve, args=(make, place, threads, theirs))
            process.start()
            theirs.close()  # so that the end of the process is seen at ours
            self._pipes.append(ours)
            self._processes.append(process)

    def call(self, method: str, **arguments: Any) -> list[Any]:
        """Call a method of the contestant on all ranks; return what each returned.

        Raises:
            RuntimeError: It failed on a rank. The team is ended then.
        """
        for pipe in self._pipes:
            pipe.send((method, arguments))
        found: dict[int, Any] = {}
        while len(found) < len(self._pipes):
            open_pipes = [pipe for i, pipe in enumerate(self._pipes) if i not in found]
            for ready in wait(open_pipes):
                rank = next(i for i, ours in enumerate(self._pipes) if ours is ready)
                found[rank] = self._answer(rank)
        return [found[rank] for rank in range(len(self._pipes))]

    def run(self, lengths: Lengths, steps: int) -> Run:
        """Train for so many steps on all ranks."""
        before = bytes_on_loopback()
        ranks: list[RankRun] = self.call("run", lengths=lengths, steps=steps)
        sent = bytes_on_loopback() - before
        timed = [rank for rank in ranks if rank.end > rank.begin]
        seconds = max(rank.end for rank in timed) - min(rank.begin for rank in timed)
        busy = [cpu for rank in ranks for cpu in rank.busy]
        blocks = [sum(parts) for parts in zip(*(rank.blocks for rank in ranks), strict=True)]
        return Run(seconds, 1 - sum(busy) / len(busy) / seconds, sent, blocks)

    def close(self) -> None:
        """End the processes."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(timeout=5)
            if process.is_alive():
                process.kill()
                process.join()

    def _answer(self, rank: int) -> Any:
        try:
            fine, answer = self._pipes[rank].recv()
        except EOFError:
            fine, answer = False, "it ended without a word"
        if not fine:
            for process in self._processes:  # the others would wait for it
                process.kill()
            raise RuntimeError(f"rank {rank} failed: {answer}")
        return answer


def _serve(
    make: Callable[[], Any], place: dict[str, int], threads: int, commands: Connection
) -> None:
    """Do what is asked for until nobody asks any more."""
    os.environ |= {name: str(value) for name, value in place.items()}
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    torch.set_num_threads(threads)
    keep_freed_memory()
    contestant: Any = None
    while True:
        try:
            method, arguments = commands.recv()
        except EOFError:
            return
        try:
            contestant = contestant or make()  # here, so that its errors reach the other side
            commands.send((True, getattr(contestant, method)(**arguments)))
        except Exception:
            commands.send((False, traceback.format_exc()))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

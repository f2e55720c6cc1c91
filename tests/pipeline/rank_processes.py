"""Starts the ranks of a test as processes, talks to them, and leaves none behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

import torch
import torch.distributed as dist

from commands import FORKSERVER, forked

DEADLINE = 60.0  # seconds; for a busy machine, nothing normally takes as long


@dataclass(frozen=True)
class Place:
    """Where a rank runs: what its function is given."""

    rank: int
    size: int
    port: int
    pipe: Connection

    def connect(self) -> dist.TCPStore:
        """Return a new connection to the store that all ranks reach."""
        patience = timedelta(seconds=DEADLINE)
        return dist.TCPStore(
            "127.0.0.1", self.port, is_master=False, wait_for_workers=False, timeout=patience
        )

    def join(self, backend: str = "gloo") -> None:
        """Make the default process group."""
        dist.init_process_group(
            backend,
            store=self.connect(),
            rank=self.rank,
            world_size=self.size,
            timeout=timedelta(seconds=DEADLINE),
        )

    def tell(self, event: Any) -> None:
        self.pipe.send(("told", event))

    def hear(self) -> Any:
        assert self.pipe.poll(DEADLINE), "the test said nothing"
        return self.pipe.recv()


class RankError(Exception):
    """What a rank raised: its class and message."""


class Ranks:
    """Processes that run ``function(place, *args)``; they are gone when the block ends.

    Args:
        function: A function of a test module.
        size: Number of processes.
        args: Handed to each.
        port: Of a store to use; by default they get a new one, kept by this process.
    """

    def __init__(
        self, function: Callable[..., Any], size: int, *args: Any, port: int | None = None
    ) -> None:
        if port is None:
            self._server = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
            port = self._server.port
        self.port = port
        self._pipes: list[Connection] = []
        self.processes: list[Any] = []
        for rank in range(size):
            ours, theirs = FORKSERVER.Pipe()
            place = Place(rank, size, port, theirs)
            self.processes.append(forked(_run, function, place, args))
            theirs.close()
            self._pipes.append(ours)

    def told(self, rank: int) -> Any:
        """Wait for the next thing that a rank tells."""
        return self._next(rank, "told")

    def say(self, rank: int, value: Any = None) -> None:
        self._pipes[rank].send(value)

    def result(self, rank: int) -> Any:
        """Wait for what the function returned; raises `RankError` with what it raised."""
        return self._next(rank, "returned")

    def results(self) -> list[Any]:
        return [self.result(rank) for rank in range(len(self.processes))]

    def says(self, rank: int, *, within: float) -> bool:
        """Return whether a rank says something, or ends, in so many seconds."""
        return self._pipes[rank].poll(within)

    def signal(self, rank: int, number: signal.Signals) -> None:
        os.kill(self.processes[rank].pid, number)

    def exit_code(self, rank: int) -> int | None:
        """Wait for the end of a process."""
        self.processes[rank].join(DEADLINE)
        return self.processes[rank].exitcode

    def __enter__(self) -> Ranks:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.join()
            process.close()

    def _next(self, rank: int, expected: str) -> Any:
        assert self._pipes[rank].poll(DEADLINE), f"rank {rank} said nothing"
        try:
            kind, value = self._pipes[rank].recv()
        except EOFError:
            self.processes[rank].join(DEADLINE)
            code = self.processes[rank].exitcode
            raise RankError(f"rank {rank} ended with exit code {code}") from None
        if kind == "raised":
            raise RankError(value)
        assert kind == expected, (kind, value)
        return value


def _run(function: Callable[..., Any], place: Place, args: tuple[Any, ...]) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    try:
        outcome = ("returned", function(place, *args))
    except BaseException as error:
        outcome = ("raised", f"{type(error).__name__}: {error}")
    place.pipe.send(outcome)

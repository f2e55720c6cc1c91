"""The processes of one run, as ``torchrun`` started them: joined, compared, and watched over."""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from importlib.metadata import version
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from associated_learning.errors import InputError, PipelineError
from associated_learning.pipeline.channel import Channel
from associated_learning.pipeline.interrupt import end_by_force
from associated_learning.pipeline.processes.agreement import agree
from associated_learning.pipeline.processes.failure_detector import FailureDetector
from associated_learning.pipeline.processes.transport import abort
from associated_learning.pipeline.worker import join

__all__ = ["Ranks", "joined", "number_of_ranks"]

_NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_POLL = 0.05  # seconds between two looks for what another rank may tell
_CONNECT = timedelta(seconds=30)  # for connecting ranks that are all there
_PATIENCE = 5.0  # seconds; a layer that holds Python's lock for longer needs more: AL_PATIENCE
_LAST_WORDS = 3.0  # seconds in which threads end that a failure woke
_active: list[Ranks] = []  # as torch's default process group, of which there is one in a process


class Ranks:
    """The processes of one run.

    Attributes:
        rank: Number of this process.
        size: Number of processes.
        detector: Knows of any that failed, or was asked to stop.
        ended: Whether rank 0 has told all how training ended.
    """

    def __init__(self, store: Store, detector: FailureDetector) -> None:
        self.rank = dist.get_rank()
        self.size = dist.get_world_size()
        self.detector = detector
        self.ended = False
        self._store = store
        self._groups: list[dist.ProcessGroup] = []
        self._threads: list[threading.Thread] = []

    def channel(self, capacity: int | None) -> Channel[Any]:
        """Return a channel that any failure closes."""
        channel: Channel[Any] = Channel(capacity)
        self.guard(channel)
        return channel

    def guard(self, channel: Channel[Any]) -> Callable[[BaseException], BaseException]:
        """Close a channel at any failure; return whom to tell of failures that it meets."""
        self.detector.on_failure(channel.close)
        return self.detector.fail

    def group(self, ranks: list[int], *, gpu: bool) -> dist.ProcessGroup:
        """Return new connections between some ranks; every rank calls this in the same order."""
        backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
        try:
            group: dist.ProcessGroup = dist.new_group(ranks, _CONNECT, backend)
        except RuntimeError as error:  # as torch raises it
            raise self.detector.failure or PipelineError(
                f"rank {self.rank} could not be connected with ranks {ranks} within "
                f"{_CONNECT.seconds} seconds ({str(error).splitlines()[0]})."
            ) from error
        if self.rank in ranks:
            self._groups.append(group)
            self.detector.on_failure(lambda _: abort(group))
        return group

    def start(self, thread: threading.Thread) -> None:
        """Start a thread that ends when training does, or by a failure."""
        self._threads.append(thread)
        thread.start()

    def rest(self) -> None:
        """Wait for the threads of `start`: one that the shutdown of Python meets, aborts it."""
        join(self._threads, _LAST_WORDS)

    def gather(self) -> None:
        """Wait until every rank has come to this point, which there is one of in a run."""
        self.tell(f"rank {self.rank} came", True)
        for rank in range(self.size):
            self.hear(f"rank {rank} came")

    def clock(self) -> Callable[[], float]:
        """Return the clock of rank 0, as exact as the machines' times of day agree.

        Monotonic clocks of one machine agree, those of several do not.
        """
        epoch = time.time() - time.perf_counter()
        if self.rank == 0:
            self.tell("clock", epoch)
        ahead = epoch - self.hear("clock")
        return lambda: time.perf_counter() + ahead

    def hang_up(self) -> None:
        """Close the connections that `group` made."""
        for group in self._groups:
            dist.destroy_process_group(group)

    def tell(self, name: str, value: Any) -> None:
        """Let all ranks know a JSON-able value, once."""
        self._store.set(name, json.dumps(value))

    def hear(self, name: str) -> Any:
        """Wait for a value that another rank tells. Raises PipelineError if any rank fails."""
        while not self._store.check([name]):
            if self.detector.failure is not None:
                raise self.detector.failure
            time.sleep(_POLL)
        return json.loads(self._store.get(name))


@contextmanager
def joined(settings: Mapping[str, str]) -> Iterator[Ranks]:
    """Join the processes of a run, and leave when all of them do.

    Args:
        settings: What must be the same in all of them, by name, beside the versions of this
            library, torch and Python.

    Raises:
        InputError: This process is none of several, or they are not alike.
        PipelineError: One of them failed, hangs, or is out of reach.
    """
    if _active:
        yield _active[-1]
        return
    begun = not dist.is_initialized()
    store, rank, size = _meeting_place() if begun else _present_group()
    interrupted = False
    name = agree({**_versions(), "AL_PATIENCE": str(_patience()), **settings}, store, rank, size)
    store = PrefixStore(name, store)
    if begun:
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=_CONNECT)
    try:
        beats = store.clone()  # type: ignore[attr-defined]
        detector = FailureDetector(beats, rank, size, patience=_patience())
        ranks = Ranks(store, detector)
        detector.on_failure(_end_what_hangs(rank))
        try:
            with detector:
                _active.append(ranks)
                try:
                    yield ranks
                except KeyboardInterrupt:
                    if not ranks.ended:
                        raise  # nobody knows of it yet
                    interrupted = True  # no failure: all stop where rank 0 has saved the run
                finally:
                    _active.clear()
        finally:
            ranks.rest()
        ranks.hang_up()
        if interrupted:
            raise KeyboardInterrupt
    finally:
        if begun:
            dist.destroy_process_group()


def _end_what_hangs(rank: int) -> Callable[[PipelineError], object]:
    """Return what ends this process after a failure if it hangs; rank 0 may be saving: longer."""
    return lambda failure: end_by_force(f"Error: {failure}", 2, times=1 if rank else 2)


def _patience() -> float:
    """Return the seconds of silence after which a rank is taken for dead.

    Raises:
        InputError: The variable AL_PATIENCE is no number of seconds.
    """
    told = os.environ.get("AL_PATIENCE", str(_PATIENCE))
    try:
        seconds = float(told)
    except ValueError:
        seconds = 0.0
    if not 1.0 <= seconds <= 86_400.0:
        raise InputError(f"AL_PATIENCE={told!r:.40} came; expected seconds, from 1 to 86400.")
    return seconds


def number_of_ranks() -> int:
    """Return how many processes the run has.

    Raises:
        InputError: torchrun did not start this one.
    """
    if dist.is_initialized():
        return dist.get_world_size()
    missing = [name for name in _NEEDED if name not in os.environ]
    if missing:
        raise InputError(
            f"executor='processes' came in a process that torchrun did not start (no "
            f"{', '.join(missing)} in the environment); start it as torchrun --nproc-per-node 2 "
            "--no-python al train ... --executor processes, or use threads."
        )
    return int(os.environ["WORLD_SIZE"])


def _meeting_place() -> tuple[Store, int, int]:
    """Return the store that torchrun's processes share, this one's rank, and their number."""
    number_of_ranks()
    found: tuple[Store, int, int] = next(rendezvous("env://"))
    return found


def _present_group() -> tuple[Store, int, int]:
    """Return the same of the processes that the caller has connected."""
    store = dist.distributed_c10d._get_default_store()
    return store, dist.get_rank(), dist.get_world_size()


def _versions() -> dict[str, str]:
    names = ("associated-learning", "torch")
    return {**{name: version(name) for name in names}, "python": platform.python_version()}

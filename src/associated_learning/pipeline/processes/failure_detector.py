"""Who of a run's processes is alive: all of them know of the first failure within seconds."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import TypeAlias

from torch.distributed import Store  # type: ignore[attr-defined]

from associated_learning.errors import PipelineError
from associated_learning.pipeline.interrupt import passed_on_interrupts
from associated_learning.pipeline.processes.heartbeats import Heartbeats
from associated_learning.pipeline.processes.neighbours import Neighbours, own_place

__all__ = ["FailureDetector", "Stop"]

Stop: TypeAlias = Callable[[PipelineError], object]

_NOTHING = b"-"  # stands for what nobody has written yet: readers of a key without value wait
_KNOWS, _LEAVES = b"knows", b"leaves"  # the last signs of life: of the failure, and of the end
_LONGEST = 200  # bytes of a sign
_LINGER = 0.4  # share of the patience for which one that failed stays, for all to learn why


class FailureDetector:
    """Watches over the processes of a run through the store that all of them reach.

    Every rank writes a sign of life into the store, and reads those of the others. Who gives none
    for ``patience`` seconds is taken for dead, unless it computes on the same machine (a layer that
    holds Python's lock), and who does not reach the store for as long takes itself for cut off. One
    that was stopped is woken, to learn that the run is over. The first failure that is written
    down is the one that every rank gets to know, whatever else breaks in its wake.

    Args:
        store: A connection that nothing else uses (``store.clone()``), because whoever waits on
            one keeps the others waiting.
        rank: Number of this process.
        size: Number of processes.
        patience: Seconds.
        interval: Seconds between signs of life.

    Example:
        >>> from torch.distributed import HashStore
        >>> with FailureDetector(HashStore(), rank=0, size=1) as detector:
        ...     detector.failure is None
        True
    """

    def __init__(
        self,
        store: Store,
        rank: int,
        size: int,
        *,
        patience: float = 5.0,
        interval: float = 0.5,
    ) -> None:
        self._store, self._rank = store, rank
        self._patience, self._interval = patience, interval
        self._others = [other for other in range(size) if other != rank]
        self._lock = threading.Lock()
        self._stops: list[Stop] = []
        self._failure: PipelineError | None = None
        self._news: str | None = None
        self._contacts, self._place = 0, own_place()
        self._neighbours, self._quiet, self._waited_for = Neighbours(), Heartbeats(), set[int]()
        self._asks_to_interrupt = self._interrupted = False
        self._failed, self._wake = threading.Event(), threading.Event()
        self._leaving, self._alone, self._over = (threading.Event() for _ in range(3))
        self._threads = [
            threading.Thread(name=loop.__name__, target=loop, daemon=True)
            for loop in (self._keep_in_touch, self._judge)
        ]

    @property
    def failure(self) -> PipelineError | None:
        """What failed first, on whatever rank; None as long as all is well."""
        return self._failure

    @property
    def interrupted(self) -> bool:
        """Whether any rank was asked to stop."""
        return self._interrupted

    def on_failure(self, stop: Stop) -> None:
        """Have ``stop`` called at the first failure; at once if it has been.

        Channels are closed, connections aborted: whatever a thread may be waiting for.
        """
        with self._lock:
            if self._failure is None:
                self._stops.append(stop)
                return
        stop(self._failure)

    def fail(self, error: BaseException) -> PipelineError:
        """Tell all ranks that this one failed; return what failed first, which may be another.

        Args:
            error: Why. A `PipelineError` tells what this rank saw of another.
        """
        self._tell(_described(error, self._rank))
        if self._over.is_set() or not self._failed.wait(self._patience + 2 * self._interval):
            self._stop_all(PipelineError(_described(error, self._rank)))
        assert self._failure is not None
        return self._failure

    def request_interrupt(self) -> None:
        """Ask rank 0 to end the run; fit for a signal handler, as it takes no lock."""
        self._asks_to_interrupt = True

    def __enter__(self) -> FailureDetector:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave when all others do: who goes earlier, closes connections that others still read.

        Raises:
            PipelineError: Another rank failed before this one did.
        """
        mine = None if error is None else _described(error, self._rank)
        # at a failure torchrun sends SIGTERM at once: what failed must still be told
        with passed_on_interrupts(self.request_interrupt):
            if error is not None:
                self.fail(error)
            self._leave()
        first = self._failure
        if first is None or first is error or isinstance(error, KeyboardInterrupt):
            return
        if str(first) != mine:
            raise first from error

    def _leave(self) -> None:
        self._leaving.set()
        self._wake.set()
        while not (self._failed.is_set() or self._alone.wait(self._interval)):
            pass
        self._alone.wait(_LINGER * self._patience)
        self._over.set()
        self._wake.set()
        for thread in self._threads:
            thread.join(self._interval)  # one that is stuck in the store is left behind

    def _keep_in_touch(self) -> None:
        try:
            for key in self._keys():
                self._store.compare_set(key, "", _NOTHING.decode())
            heartbeats, before = Heartbeats(), time.monotonic()
            while not self._over.is_set():
                signs = self._exchange()
                # while this process was stopped, time passed for nobody
                now = time.monotonic()
                elapsed = min(now - before, 2 * self._interval)
                before = now
                self._look(heartbeats, signs, elapsed)
                self._wake.wait(self._interval / 10 if self._leaving.is_set() else self._interval)
                self._wake.clear()
        except RuntimeError as error:  # as torch raises it when a connection breaks
            if not self._leaving.is_set():
                self._stop_all(PipelineError(_store_gone(error, self._rank)))
            self._alone.set()

    def _look(self, heartbeats: Heartbeats, signs: Mapping[int, bytes], elapsed: float) -> None:
        """Look who of the others is silent for too long, and tell."""
        places = {rank: _place(sign) for rank, sign in signs.items()}
        computing = self._neighbours.computing(places, elapsed)
        for rank in heartbeats.silent(signs, elapsed, self._patience, computing):
            stopped = self._neighbours.wake(places[rank])
            self._tell(_silent(rank, self._patience, self._rank, stopped=stopped))
        for rank in self._quiet.silent(signs, elapsed, self._patience):
            speaks = self._rank == (1 if rank == 0 else 0)
            if speaks and rank in computing and rank not in self._waited_for:
                self._waited_for.add(rank)
                with suppress(UserWarning):  # where warnings are errors
                    warnings.warn(_busy(rank, self._patience), stacklevel=2)

    def _exchange(self) -> dict[int, bytes]:
        """Write what this rank has to say, read what the others said; return their signs."""
        self._contacts += 1
        self._store.set(_sign(self._rank), self._own_sign().decode())
        if self._asks_to_interrupt:
            self._store.set("interrupt", str(self._rank))
        failure, interrupt, *found = self._store.multi_get(self._keys())
        if failure == _NOTHING and self._news is not None:
            failure = self._store.compare_set("failure", _NOTHING.decode(), self._news)
        if failure != _NOTHING:
            self._stop_all(PipelineError(failure.decode()))
        self._interrupted = self._interrupted or interrupt != _NOTHING
        last = {_LEAVES, _KNOWS} if self._failed.is_set() else {_LEAVES}
        if self._leaving.is_set() and last.issuperset(found):
            self._alone.set()
        return {r: s for r, s in zip(self._others, found, strict=True) if s not in last}

    def _own_sign(self) -> bytes:
        if self._leaving.is_set():
            return _LEAVES
        return _KNOWS if self._failed.is_set() else f"{self._contacts} {self._place}".encode()

    def _judge(self) -> None:
        """Notice that the store is out of reach, which the thread that uses it cannot."""
        silence, heartbeats = self._interval / 2, Heartbeats()
        while not self._over.wait(silence):
            contacts = str(self._contacts).encode()
            if heartbeats.silent({self._rank: contacts}, silence, self._patience):
                self._stop_all(PipelineError(_cut_off(self._rank, self._patience)))
                return

    def _keys(self) -> list[str]:
        return ["failure", "interrupt", *map(_sign, self._others)]

    def _tell(self, news: str) -> None:
        with self._lock:
            self._news = self._news or news
        self._wake.set()

    def _stop_all(self, failure: PipelineError) -> None:
        with self._lock:
            if self._failure is not None:
                return
            self._failure = failure
        self._failed.set()
        for stop in self._stops:
            with suppress(Exception):  # one that fails must not keep the others from stopping
                stop(failure)


def _sign(rank: int) -> str:
    return f"sign of rank {rank}"


def _place(sign: bytes) -> str:
    """Return where the process is that gave a sign of life."""
    return sign[:_LONGEST].decode(errors="replace").partition(" ")[2]


def _described(error: BaseException, rank: int) -> str:
    if isinstance(error, PipelineError):
        return f"{error} (seen by rank {rank})"
    if isinstance(error, KeyboardInterrupt):
        return f"rank {rank} was interrupted"
    return f"rank {rank} failed: {type(error).__name__}: {error}"


def _silent(rank: int, patience: float, by: int, *, stopped: bool) -> str:
    why = "its process hangs or was killed, or the network to its machine is cut."
    if stopped:
        why = "its process was stopped, as SIGSTOP and debuggers do."
    return f"rank {rank} gave no sign of life for {patience:g} seconds (seen by rank {by}): {why}"


def _busy(rank: int, patience: float) -> str:
    return (
        f"rank {rank} computes, but gave no sign for {patience:g} seconds: a layer holds Python's "
        "lock. It is waited for."
    )


def _cut_off(rank: int, patience: float) -> str:
    return (
        f"rank {rank} has been cut off from the others for {patience:g} seconds: the network of "
        "its machine is down, or the process hangs that keeps their store (torchrun's on the "
        "first machine, or rank 0)."
    )


def _store_gone(error: RuntimeError, rank: int) -> str:
    return (
        f"rank {rank} lost the store of the run ({str(error).splitlines()[0]}): the process that "
        "keeps it, torchrun's on the first machine or else rank 0, ended."
    )

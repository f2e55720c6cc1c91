"""Ctrl-C between two weight updates instead of inside one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

__all__ = [
    "Interrupt",
    "deferred_interrupts",
    "end_by_force",
    "ending_the_process",
    "passed_on_interrupts",
]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_ASKED = b"\nStopping after this batch; a second signal (Ctrl-C) ends at once.\n"
_FORCED = b"\nEnded by force: something hangs. The last checkpoint stays.\n"
_REPEATED = 1.0  # seconds in which torchrun has passed on a signal
_grace: list[float] = []  # seconds from a second signal to the end of the process, if any


class _Signals:
    """Those that came so far."""

    def __init__(self) -> None:
        self._first: float | None = None

    @property
    def came(self) -> bool:
        """Whether there was any."""
        return self._first is not None

    def insist(self) -> bool:
        """Take note of one; return whether it is a second one.

        At Ctrl-C the terminal tells every rank, and torchrun tells them again.
        """
        now, first = time.monotonic(), self._first
        if first is None:
            self._first = now
            return False
        ranks = int(os.environ.get("WORLD_SIZE", "1"))
        return now - first > (_REPEATED if ranks > 1 else 0.0)


class Interrupt:
    """Whether the user asked to stop.

    Attributes:
        insisted: Whether a second signal asked to stop at once.
    """

    def __init__(self) -> None:
        self.insisted = False
        self._signals = _Signals()
        self._others: list[Callable[[], bool]] = []

    @property
    def requested(self) -> bool:
        """Whether a signal came, here or to another process of the run."""
        return self._signals.came or any(other() for other in self._others)

    def also(self, other: Callable[[], bool]) -> None:
        """Let another source of interrupts count too."""
        self._others.append(other)

    def request(self, number: int, frame: FrameType | None) -> None:
        """Take note of a first signal; a second one stops at once (see `ending_the_process`)."""
        first = not self._signals.came
        if self._signals.insist():
            self.insisted = True
            end_by_force()
            raise KeyboardInterrupt
        if first and _grace:
            _say(_ASKED)


@contextmanager
def ending_the_process(seconds: float) -> Iterator[None]:
    """Let a second signal end this process, whatever hangs in it, some seconds later.

    For programs whose only task is the training; its last checkpoint stays.
    """
    _grace.append(seconds)
    try:
        yield
    finally:
        _grace.pop()


def end_by_force(reason: str = "", code: int = 130, *, times: float = 1.0) -> None:
    """End this process if it is still there in some seconds; only inside `ending_the_process`.

    Args:
        reason: Said then, in a line.
        code: Its exit status.
        times: How many times its seconds to wait.
    """
    if _grace:
        timer = threading.Timer(times * _grace[-1], _end, (reason, code))
        timer.daemon = True
        timer.start()


def _end(reason: str, code: int) -> None:
    _say((f"\n{reason}".encode() if reason else b"") + _FORCED)
    for child in multiprocessing.active_children():  # such as workers of a DataLoader
        child.kill()
    os._exit(code)


def _say(told: bytes) -> None:
    with suppress(OSError):
        os.write(2, told)  # which takes no lock: it may be a signal that says so


@contextmanager
def deferred_interrupts() -> Iterator[Interrupt]:
    """Turn SIGINT and SIGTERM into a flag inside the block, so that a batch is never half done.

    Outside the main thread, where Python delivers no signals, the flag just stays down.
    """
    interrupt = Interrupt()
    with _handled(interrupt.request):
        yield interrupt


@contextmanager
def passed_on_interrupts(tell: Callable[[], object]) -> Iterator[None]:
    """Call ``tell`` at SIGINT and SIGTERM inside the block, which goes on until others end it.

    A second signal stops at once, as for `Interrupt.request`.
    """
    signals = _Signals()

    def request(number: int, frame: FrameType | None) -> None:
        if signals.insist():
            end_by_force()
            raise KeyboardInterrupt
        tell()

    with _handled(request):
        yield


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)

"""Ctrl-C between two weight updates instead of inside one."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

__all__ = [
    "Interrupt",
    "deferred_interrupts",
    "ending_the_process",
    "passed_on_interrupts",
]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_grace: list[float] = []  # seconds from a second signal to the end of the process, if any


class Interrupt:
    """Whether the user asked to stop."""

    def __init__(self) -> None:
        self._signalled = False
        self._others: list[Callable[[], bool]] = []

    @property
    def requested(self) -> bool:
        """Whether a signal came, here or to another process of the run."""
        return self._signalled or any(other() for other in self._others)

    def also(self, other: Callable[[], bool]) -> None:
        """Let another source of interrupts count too."""
        self._others.append(other)

    def request(self, number: int, frame: FrameType | None) -> None:
        """Take note of a first signal; a second one stops at once (see `ending_the_process`)."""
        if self._signalled:
            _insist()
            raise KeyboardInterrupt
        self._signalled = True


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


def _insist() -> None:
    if _grace:
        timer = threading.Timer(_grace[-1], _end)
        timer.daemon = True
        timer.start()


def _end() -> None:
    with suppress(OSError):
        os.write(2, b"\nEnded by force: something hangs. The last checkpoint stays.\n")
    os._exit(130)


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
    """Call ``tell`` at SIGINT and SIGTERM inside the block, which goes on until others end it."""
    with _handled(lambda number, frame: tell()):
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

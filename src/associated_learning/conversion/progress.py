"""A line about what a long conversion is doing; a short one says nothing."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

__all__ = ["progress"]

_ERASE = "\r\x1b[K"


class _Line:
    """One line of a terminal, which is shown after some seconds and then follows the steps."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.step = ""
        self.shown = False
        self.lock = threading.Lock()

    def say(self, step: str) -> None:
        with self.lock:
            self.step = step
            self._write()

    def show(self) -> None:
        with self.lock:
            self.shown = True
            self._write()

    def end(self) -> None:
        with self.lock:
            if self.shown:
                self.stream.write(_ERASE)
                self.stream.flush()
            self.shown = False

    def _write(self) -> None:
        if self.shown:
            self.stream.write(f"{_ERASE}converting: {self.step} ...")
            self.stream.flush()


@contextmanager
def progress(
    stream: TextIO | None = None, *, after_seconds: float = 2.0
) -> Iterator[Callable[[str], None]]:
    """Give a function that says what is done; it is read on a terminal alone, and later on.

    Args:
        stream: Where the line goes; None for the standard error.
        after_seconds: How long nothing is said.

    Example:
        >>> with progress() as say:
        ...     say("running the model")
    """
    stream = sys.stderr if stream is None else stream
    line = _Line(stream)
    if not stream.isatty():
        yield line.say
        return
    timer = threading.Timer(after_seconds, line.show)
    timer.daemon = True
    timer.start()
    try:
        yield line.say
    finally:
        timer.cancel()
        line.end()

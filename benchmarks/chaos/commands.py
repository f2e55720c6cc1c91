"""Commands of ``al`` in processes of their own, forked from one that has all modules loaded."""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from typing import NamedTuple

from associated_learning.cli.main import main

__all__ = ["Ended", "run_command"]

_LATE = (
    "sklearn.datasets", "matplotlib.figure", "matplotlib.backends.backend_agg", "datasets",
    "pandas", "huggingface_hub", "associated_learning.runs.hub.pretrained",
)  # fmt: skip
for _module in _LATE:
    importlib.import_module(_module)  # each command would do so again
_EXPECTED = (0, 2, 130, -signal.SIGKILL, -signal.SIGTERM)
_HUNG = 240.0  # seconds; on a machine with ten other jobs the slowest command takes a third of it


class Ended(NamedTuple):
    """How a command ended.

    Attributes:
        code: Its exit status; negative for the signal that ended it.
        output: What it wrote.
        hung: Whether it had to be stopped.
        memory: Most bytes that it held.
    """

    code: int
    output: str
    hung: bool
    memory: int

    @property
    def foreign(self) -> bool:
        """Whether it ended by an error that is not ours: a traceback, or a crash."""
        return "Traceback (most" in self.output or self.code not in _EXPECTED


def run_command(
    arguments: Sequence[str],
    *,
    seconds: float | None = None,
    number: int = signal.SIGKILL,
    until: Callable[[], bool] | None = None,
    call: Callable[[], object] | None = None,
) -> Ended:
    """Run ``al`` with arguments; return how it ended.

    Args:
        arguments: Those of the command line.
        seconds: When to send it a signal; None lets it end by itself.
        number: The signal.
        until: When to send it, instead of a time.
        call: What to call instead of the command line.
    """
    with tempfile.TemporaryFile() as output:
        process = os.fork()
        if process == 0:
            _become(arguments, output.fileno(), call)
        begin = time.monotonic()
        timed = None if seconds is None else lambda: time.monotonic() - begin >= seconds
        status, memory, hung = _wait(process, until or timed, number)
        output.seek(0)
        text = output.read().decode("utf-8", errors="replace")
    return Ended(os.waitstatus_to_exitcode(status), text, hung, memory)


def _become(arguments: Sequence[str], output: int, call: Callable[[], object] | None) -> None:
    """Be the process of a command: this does not return."""
    code = 0
    try:
        for stream in (1, 2):
            os.dup2(output, stream)
        sys.stdout, sys.stderr = (os.fdopen(n, "w", encoding="utf-8") for n in (1, 2))
        faulthandler.dump_traceback_later(0.9 * _HUNG, file=sys.stderr)  # where it hangs
        sys.argv = ["al", *arguments]
        main() if call is None else print(call())
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt:
        code = 130  # before the command began
    except BaseException:
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


def _wait(process: int, is_due: Callable[[], bool] | None, number: int) -> tuple[int, int, bool]:
    begin, sent = time.monotonic(), is_due is None
    while True:
        ended, status, usage = os.wait4(process, os.WNOHANG)
        if ended:
            return status, usage.ru_maxrss * 1024, False
        if not sent and is_due is not None and is_due():
            os.kill(process, number)
            sent = True
        if time.monotonic() - begin > _HUNG:
            os.kill(process, signal.SIGKILL)
            _, status, usage = os.wait4(process, 0)
            return status, usage.ru_maxrss * 1024, True
        time.sleep(0.005)

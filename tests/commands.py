"""Runs ``al`` here, and starts it and other functions as processes that import no torch first."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest import mock

from typer.testing import CliRunner

from associated_learning.cli.main import app, main

__all__ = ["FORKSERVER", "Program", "forked", "run_al", "serve", "start"]

# forked from one that has imported everything, a process starts in milliseconds
FORKSERVER = multiprocessing.get_context("forkserver")


def run_al(*words: object) -> str:
    """Run ``al`` in this process; return what it prints, or raise the error that ends it."""
    result = CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def serve() -> None:
    """Start the process that all others are forked from, unless it runs.

    A process of pytest has one, which a campaign uses too if it is there.
    """
    FORKSERVER.set_forkserver_preload(["preloaded"])
    with mock.patch.dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)):  # it finds our tests
        forkserver.ensure_running()


def forked(function: Callable[..., None], *args: Any, daemon: bool = True) -> BaseProcess:
    """Start a process that runs a function."""
    serve()
    process = FORKSERVER.Process(target=function, args=args, daemon=daemon)
    process.start()
    return process


class Program:
    """A process that runs a function, in the directory and environment of this one.

    Args:
        function: A function of a test module.
        args: What it is given.
        folder: Where its output and its errors go.
        daemon: Whether it ends with this process; then it may start none of its own.
    """

    def __init__(
        self, function: Callable[..., Any], *args: Any, folder: Path, daemon: bool = True
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._files = [folder / "stdout", folder / "stderr"]
        place = (str(Path.cwd()), dict(os.environ), [str(file) for file in self._files])
        self._process = forked(_run, place, function, args, daemon=daemon)

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code of a process that has ended; None while it runs."""
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def printed(self) -> tuple[str, str]:
        """Return output and errors so far."""
        out, err = (file.read_text() if file.is_file() else "" for file in self._files)
        return out, err

    def communicate(self, timeout: float = 60) -> tuple[str, str]:
        """Wait for the end; return output and errors."""
        self._process.join(timeout)
        assert self.returncode is not None, f"it runs on after {timeout} seconds"
        return self.printed()

    def kill(self) -> None:
        self._process.kill()
        self._process.join()


def start(*arguments: str, folder: Path) -> Program:
    """Start ``al`` with arguments."""
    return Program(_al, arguments, folder=folder)


def _al(arguments: tuple[str, ...]) -> None:
    sys.argv = ["al", *arguments]
    main()


def _run(
    place: tuple[str, dict[str, str], list[str]], function: Callable[..., Any], args: Any
) -> None:
    directory, environment, files = place
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    for number, file in enumerate(files, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    function(*args)

"""The line about a long conversion: on a terminal alone, after a time, and gone at the end."""

from __future__ import annotations

import io
import threading

import pytest

from associated_learning.conversion.progress import progress


class Terminal(io.StringIO):
    """A terminal that tells when something is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def isatty(self) -> bool:
        return True

    def flush(self) -> None:
        self.written.set()


def test_a_long_conversion_says_what_it_does_and_takes_it_back() -> None:
    terminal = Terminal()
    with progress(terminal, after_seconds=0.0) as say:
        say("running the model")
        assert terminal.written.wait(10)
        say("comparing the layers with the model")
    lines = terminal.getvalue().split("\r\x1b[K")
    assert lines[-2:] == ["converting: comparing the layers with the model ...", ""]


def test_a_short_conversion_says_nothing() -> None:
    terminal = Terminal()
    with progress(terminal, after_seconds=1000.0) as say:
        say("running the model")
    assert terminal.getvalue() == ""


def test_nothing_is_said_where_no_one_reads() -> None:
    file = io.StringIO()
    with progress(file, after_seconds=0.0) as say:
        say("running the model")
    assert file.getvalue() == ""


def test_the_line_goes_away_when_conversion_fails() -> None:
    terminal = Terminal()
    with (
        pytest.raises(ValueError, match="no model"),
        progress(terminal, after_seconds=0.0) as say,
    ):
        say("running the model")
        assert terminal.written.wait(10)
        raise ValueError("no model")
    assert terminal.getvalue().endswith("\r\x1b[K")

"""``al reproduce`` and ``al report``, which come from a package beside this one."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import typer

from associated_learning.errors import InputError

__all__ = ["reproduction_commands"]


class Command(NamedTuple):
    """A command, and what typer is to know of it."""

    function: Callable[..., None]
    context: dict[str, Any]


def reproduction_commands() -> list[Command]:
    """Return the commands that make the paper's tables, or what tells where to get them.

    The package ``reproduction`` lies in the repository and not in the wheel: who uses the library
    needs neither the paper's exhibits nor the statistics of their report.
    """
    if importlib.util.find_spec("reproduction") is None:
        return [_absent("reproduce"), _absent("report")]
    from reproduction.commands.report import report
    from reproduction.commands.reproduce import reproduce

    return [Command(reproduce, {}), Command(report, {})]


def _absent(name: str) -> Command:
    def command(arguments: list[str] = typer.Argument(None, hidden=True)) -> None:  # noqa: B008
        raise InputError(
            f"al {name} came, but the package `reproduction`, which makes the paper's tables, is "
            "not installed: it lies in the repository of associated_learning and not in its wheel. "
            'Clone the repository, and there run: pip install -e ".[reproduction]"'
        )

    command.__name__ = name
    command.__doc__ = f"Needs a checkout of the repository; ``al {name}`` says how to get it."
    return Command(command, {"ignore_unknown_options": True})

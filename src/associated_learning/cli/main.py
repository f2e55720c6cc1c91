"""``al``: the entry of the command line."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import suppress
from typing import Annotated, NoReturn

import typer
from rich.console import Console

import associated_learning
from associated_learning.cli.demo import demo
from associated_learning.cli.evaluate import evaluate
from associated_learning.cli.export import export
from associated_learning.cli.grow import grow
from associated_learning.cli.info import info
from associated_learning.cli.plan import plan
from associated_learning.cli.predict import predict
from associated_learning.cli.reproduction import reproduction_commands
from associated_learning.cli.runs import runs
from associated_learning.cli.tables import say
from associated_learning.cli.train import train
from associated_learning.cli.tune import tune
from associated_learning.cli.verify import verify
from associated_learning.errors import AssociatedLearningError
from associated_learning.runs.printable import escape

__all__ = ["app", "main"]

_LACKING = ("allocate memory", "start new thread", "out of memory")  # in messages of torch

app = typer.Typer(
    name="al",
    help="Train networks without end-to-end backpropagation, by Associated Learning.\n\n"
    "Start with [bold]al demo[/], then [bold]al train --help[/].",
    rich_markup_mode="rich",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (demo, plan, train, tune, grow, evaluate, export, info, runs):
    app.command()(command)
for beside in reproduction_commands():
    app.command(context_settings=beside.context)(beside.function)
app.add_typer(verify)
# so that rows may start with a negative number; predict itself refuses unknown options
app.command(context_settings={"ignore_unknown_options": True})(predict)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"associated_learning {associated_learning.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line: what goes wrong becomes one message and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # terminals that are not UTF-8 show an escape
            stream.reconfigure(errors="backslashreplace")
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            _run()
    except AssociatedLearningError as error:
        _fail(str(error))
    except BrokenPipeError:  # whoever reads the output, as `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        _fail(f"{error}; free disk space, make it writable, or name another path.")
    except MemoryError as error:
        _fail(
            f"{str(error) or 'memory'} does not do; ask for smaller sizes, or use another machine."
        )
    except RuntimeError as error:
        if not any(sign in str(error) for sign in _LACKING):
            raise
        _fail(f"the machine lacks memory or threads ({str(error).splitlines()[0]}); free some.")
    except KeyboardInterrupt:
        sys.exit(130)


def _run() -> None:
    try:
        app()
    finally:
        if sys.stdout is not None:
            sys.stdout.flush()  # what cannot be written shows here, and not at Python's end


def _fail(message: str) -> NoReturn:
    text = f"[red]Error:[/] {escape(message, lines=True)}"
    with suppress(OSError):
        say(text, to=Console(stderr=True, emoji=False))
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # a full one fails again
    sys.exit(2)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    text = f"[yellow]Warning:[/] {escape(message, lines=True)}"
    say(text, to=Console(stderr=True, emoji=False))

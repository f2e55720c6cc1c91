"""``al``: the entry of the command line."""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.markup import escape

from associated_learning.cli.demo import demo
from associated_learning.cli.evaluate import evaluate
from associated_learning.cli.export import export
from associated_learning.cli.grow import grow
from associated_learning.cli.info import info
from associated_learning.cli.plan import plan
from associated_learning.cli.predict import predict
from associated_learning.cli.reproduction import reproduction_commands
from associated_learning.cli.train import train
from associated_learning.cli.verify import verify
from associated_learning.errors import AssociatedLearningError

__all__ = ["app", "main"]

app = typer.Typer(
    name="al",
    help="Train networks without end-to-end backpropagation, by Associated Learning.\n\n"
    "Start with [bold]al demo[/], then [bold]al train --help[/].",
    rich_markup_mode="rich",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (demo, plan, train, grow, evaluate, export, info):
    app.command()(command)
for beside in reproduction_commands():
    app.command(context_settings=beside.context)(beside.function)
app.add_typer(verify)
# so that rows may start with a negative number; predict itself refuses unknown options
app.command(context_settings={"ignore_unknown_options": True})(predict)


def main() -> None:
    """Run the command line: our own errors become one message and exit code 2."""
    try:
        app()
    except AssociatedLearningError as error:
        message = f"[red]Error:[/] {escape(str(error))}"
        Console(stderr=True, emoji=False).print(message, soft_wrap=True, highlight=False)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)

"""Command-line options made from the settings of a run, so that both say the same."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import Field, fields
from typing import Annotated, Any, get_type_hints

import typer

from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.settings.defaults import family_default
from associated_learning.runs.settings.setting import option as spelt

__all__ = ["RunFolder", "is_given", "with_run_options"]

RunFolder = Annotated[
    str, typer.Argument(metavar="RUN", help="Folder of a run, as `al train` made it.")
]


Command = Callable[..., None]
_WIDE = 12  # characters of a type, beyond which it would leave the text no room


def is_given(ctx: typer.Context, name: str) -> bool:
    """Return whether the user gave an option, even if its value is the default."""
    source = ctx.get_parameter_source(name)
    return source is not None and not source.name.startswith("DEFAULT")


def with_run_options(**shown: str) -> Callable[[Command], Command]:
    """Give a command all fields of `RunConfig` as options, after its own parameters.

    The command takes them as keyword arguments.

    Args:
        shown: Defaults that the command has instead of the model's, for the help.
    """
    return lambda command: _with_options(command, shown)


def _with_options(command: Command, shown: Mapping[str, str]) -> Command:
    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    hints = get_type_hints(RunConfig)
    settings = [
        _parameter(setting, hints[setting.name], shown.get(setting.name))
        for setting in fields(RunConfig)
    ]
    parameters = [*own, *settings]
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def _parameter(setting: Field[Any], hint: Any, shown: str | None) -> inspect.Parameter:
    meta = setting.metadata
    choices = "|".join(meta["choices"])
    told = f"{meta['help']} One of {choices.replace('|', ', ')}."
    # what is off needs no --no-..., which would take the text's room
    names = [spelt(setting.name)] if setting.default is False else []
    option = typer.Option(
        *names,
        help=told if len(choices) > _WIDE else meta["help"],
        rich_help_panel=meta["panel"],
        metavar=("NAME" if len(choices) > _WIDE else choices) or None,
        show_default=shown or family_default(setting.name) or True,
    )
    return inspect.Parameter(
        setting.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=setting.default,
        annotation=Annotated[hint, option],
    )

"""``al tune``: search settings for AL and backpropagation by the same number of trials."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress
from rich.table import Table

from associated_learning.cli.options import is_given, with_run_options
from associated_learning.cli.tables import command, console, show_table
from associated_learning.data import DataSet
from associated_learning.errors import InputError
from associated_learning.runs.folder.watch import sole_training
from associated_learning.runs.inputs import load_data
from associated_learning.runs.printable import escape
from associated_learning.runs.result import told_scores
from associated_learning.runs.run import default_folder
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.settings.resolved import resolved
from associated_learning.runs.settings.setting import option
from associated_learning.runs.tasks.deciding import decided
from associated_learning.runs.tasks.metric import headline, shown_scores
from associated_learning.runs.trainer import set_up_torch
from associated_learning.runs.tuning.search import Found, search
from associated_learning.runs.tuning.space import (
    DEFAULT_SPACE,
    SearchSpace,
    of_method,
    parsed_space,
)
from associated_learning.state.files import read_json, write_json

__all__ = ["tune"]

SEARCH = "Search"
_ASKED = "asked.json"


@with_run_options(method="both, one after the other")
def tune(
    ctx: typer.Context,
    *,
    search_: Annotated[
        list[str] | None,
        typer.Option(
            "--search",
            metavar="NAME=VALUES",
            help="A setting and what it may be: lr=1e-4..1e-2 or batch_size=16,32,64; may be given "
            f"repeatedly. {' and '.join(DEFAULT_SPACE)} if not given.",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    trials: Annotated[
        int,
        typer.Option(help="Settings to try for each method.", min=1, rich_help_panel=SEARCH),
    ] = 16,
    tune_folder: Annotated[
        str | None,
        typer.Option(
            help="Where what was tried is kept; tune/DATA-MODEL if not given.",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON instead of a table.", rich_help_panel=SEARCH)
    ] = False,
    **settings: Any,
) -> None:
    """Search settings for AL and for backpropagation: the same number for each, on validation data.

    Both train the same encoders on the same data, and settings that both have are searched alike.
    Settings that fall behind at every exit are given up early. The test data are not read. Killed
    at any time, the same command goes on.

    Examples:

        al tune --data reviews.csv --text-column text --label-column stars --model bilstm

        al tune --data digits --trials 30 --search lr=1e-4..1e-2 --search dropout=0,0.1,0.3
    """
    chosen, line = decided(RunConfig(**settings))
    if line is not None and not as_json:
        console.print(escape(line), soft_wrap=True)
    texts = search_ or list(DEFAULT_SPACE)
    _check_free(ctx, parsed_space(texts))
    methods = [chosen.method] if is_given(ctx, "method") else ["al", "bp"]
    named = default_folder(replace(chosen, method="al")).name.removesuffix(f"-al-{chosen.seed}")
    folder = Path(tune_folder or Path("tune") / named)
    with sole_training(folder):
        _check_same(folder, chosen, texts)
        found = _searched(chosen, methods, texts, trials, folder, quiet=as_json)
    if as_json:
        _show_json(chosen, *found, trials)
    else:
        _show(chosen, *found)


def _searched(
    config: RunConfig,
    methods: list[str],
    texts: list[str],
    trials: int,
    folder: Path,
    *,
    quiet: bool,
) -> tuple[DataSet, dict[str, Found]]:
    whole = resolved(config)
    set_up_torch(whole)
    data = load_data(whole)
    found = {}
    with Progress(console=console, transient=True, disable=quiet) as progress:
        for method in methods:
            task = progress.add_task(f"{method.upper()}, {trials} settings", total=trials)
            found[method] = search(
                of_method(config, method),
                parsed_space(texts, method=method),
                data,
                trials=trials,
                journal=folder / f"{method}.journal",
                told=lambda number, task=task: progress.update(task, completed=number),  # type: ignore[misc]
            )
    return data, found


def _check_free(ctx: typer.Context, space: SearchSpace) -> None:
    """Raise InputError for a setting that is both given and searched."""
    for name in space:
        if is_given(ctx, name):
            raise InputError(
                f"{option(name)} came and is searched too; leave it out, or name other settings "
                "to --search."
            )


def _check_same(folder: Path, config: RunConfig, texts: list[str]) -> None:
    """Keep what is asked for; raise InputError if the folder is of another search."""
    asked = {"config": {**config.to_json(), "method": None}, "search": texts}
    path = folder / _ASKED
    if not path.exists():
        write_json(path, asked)
    elif read_json(path) != json.loads(json.dumps(asked)):
        raise InputError(
            f"{folder} holds a search with other settings or choices; name another --tune-folder, "
            "or delete it."
        )


def _headline_score(config: RunConfig, data: DataSet, score: float) -> float:
    """Return a score as `headline` names it."""
    return shown_scores(config, told_scores([score], data))[0]


def _show(config: RunConfig, data: DataSet, found: dict[str, Found]) -> None:
    table = Table("method", "tried", "given up", f"validation {headline(config)}", "settings")
    for method, one in found.items():
        settings = ", ".join(
            f"{name} {_setting_text(value)}" for name, value in one.settings.items()
        )
        score = f"{_headline_score(config, data, one.score):.4f} at depth {one.depth}"
        table.add_row(method.upper(), str(one.tried), str(one.pruned), score, escape(settings))
    show_table(table)
    for method, one in found.items():
        if one.at_edge:
            names = ", ".join(map(option, one.at_edge))
            console.print(
                f"[yellow]{method.upper()}: the best {names} lies at the edge of what was "
                "searched; search further.[/]",
                soft_wrap=True,
            )
    console.print("Chosen on the validation data; the test data were not read. Train with them:")
    for method, one in found.items():
        console.print(f"  {escape(_train_line(config, method, one))}", soft_wrap=True)


def _show_json(config: RunConfig, data: DataSet, found: dict[str, Found], trials: int) -> None:
    told = {
        method: {**one._asdict(), "score": _headline_score(config, data, one.score)}
        for method, one in found.items()
    }
    print(json.dumps({"score": headline(config), "trials": trials, **told}))


def _train_line(config: RunConfig, method: str, found: Found) -> str:
    """Return the command that trains with what was found."""
    default = RunConfig().to_json()
    given = {k: v for k, v in config.to_json().items() if v != default[k] and k != "task"}
    words = [command(), "train"]
    for name, value in {**given, "method": method, **found.settings}.items():
        if isinstance(value, bool):
            words.append(option(name) if value else option(f"no-{name}"))
        else:
            words += [option(name), str(value)]  # with all digits, so that it is the same run
    return shlex.join(words)


def _setting_text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

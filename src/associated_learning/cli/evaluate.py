"""``al evaluate``: score a run at one depth or all."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from associated_learning.cli.confusion import show_confusion
from associated_learning.cli.ensemble import check_choice, show_chosen_ensemble, with_ensemble
from associated_learning.cli.exits import show_exits
from associated_learning.cli.options import RunFolder
from associated_learning.cli.tables import console, scores_table, show_table, shown_score
from associated_learning.data import Batches, DataSet
from associated_learning.errors import InputError
from associated_learning.inference.evaluation import Evaluation, score_samples
from associated_learning.inference.evaluation import evaluate as evaluate_network
from associated_learning.runs.folder.description import check_data
from associated_learning.runs.folder.open_run import OpenRun, open_run
from associated_learning.runs.folder.sources import check_sources
from associated_learning.runs.inputs import evaluation_batches, load_data
from associated_learning.runs.printable import escape
from associated_learning.runs.settings.config import ResolvedConfig
from associated_learning.runs.tasks.columns import Columns, evaluation_columns, task_metrics
from associated_learning.runs.tasks.refusals import check_early_exit
from associated_learning.runs.tasks.regression import number_columns

__all__ = ["evaluate"]


def evaluate(
    run: RunFolder,
    *,
    depth: Annotated[
        str, typer.Option(help="Number of layers to pass, or all for a table of every depth.")
    ] = "all",
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    metric: Annotated[
        list[str] | None,
        typer.Option(help="Measure this too, such as f1, auroc or mcc; may be given repeatedly."),
    ] = None,
    confusion: Annotated[
        bool,
        typer.Option(
            "--confusion",
            help="Show how often each class was taken for each other, at --depth or the best one.",
        ),
    ] = False,
    exits: Annotated[
        bool,
        typer.Option(
            "--exits",
            help="Choose on the validation data when samples leave early; show accuracy and cost "
            "of every depth and of early exit on the test data.",
        ),
    ] = False,
    goal: Annotated[
        str,
        typer.Option(
            help="With --exits: accuracy:POINTS that may be lost at most, cost:PERCENT of the "
            "operations of full depth at most, or risk:PERCENT of right answers that are lost at "
            "most, with 95 % confidence."
        ),
    ] = "accuracy:0.2",
    measure: Annotated[
        str,
        typer.Option(
            help="With --exits, how sure an exit is: probability, margin, entropy, patience or "
            "prototype."
        ),
    ] = "probability",
    against: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="With --exits: a run of backpropagation on the same data, to compare with.",
        ),
    ] = None,
    ensemble: Annotated[
        str | None,
        typer.Option(
            metavar="N|auto",
            help="Answer by the mean of the last N exits at each depth; auto: as many, and up to "
            "that depth, as is best on the validation data, beside the best exit alone.",
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="File or folder of the data, if it has moved.")
    ] = None,
    test_data: Annotated[
        str | None, typer.Option(help="File or folder for testing, if it has moved.")
    ] = None,
    data_root: Annotated[
        str | None, typer.Option(help="Folder with NAME/SPLIT.parquet files, if it has moved.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Score a trained run on a split of its data, at one depth or at all.

    Examples:

        al evaluate runs/digits-mlp-al-0

        al evaluate runs/digits-mlp-al-0 --depth 1 --json

        al evaluate runs/digits-mlp-al-0 --metric f1 --metric auroc

        al evaluate runs/digits-mlp-al-0 --confusion

        al evaluate runs/sst2-bilstm-al-0 --exits --goal cost:50 --against runs/sst2-bilstm-bp-0

        al evaluate runs/sst2-bilstm-al-0 --ensemble auto

        al evaluate runs/reviews-bilstm-al-0 --data elsewhere/reviews.csv
    """
    opened = with_ensemble(open_run(Path(run)), ensemble)
    if split not in ("train", "validation", "test"):
        raise InputError(f"--split {split} came; expected train, validation or test.")
    chosen = None if depth == "all" else opened.net.check_depth(_chosen_depth(depth))
    _check_together(
        opened.config.task, exits=exits, confusion=confusion, metric=metric, ensemble=ensemble
    )
    if ensemble == "auto":
        others = {"--confusion": confusion, "--metric": metric, "--depth": chosen}
        check_choice(opened.config.task, others)
    moved = {"data": data, "test_data": test_data, "data_root": data_root}
    config, loaded = _loaded(Path(run), opened, moved)
    batches, here = evaluation_batches(config, loaded, split), opened._replace(config=config)
    if ensemble == "auto":
        validation = evaluation_batches(config, loaded, "validation")
        show_chosen_ensemble(opened, run, validation, batches, split, as_json=as_json)
    elif exits:
        rival = None if against is None else Path(against)
        how: dict[str, Any] = {"goal": goal, "measure": measure, "against": rival}
        show_exits(Path(run), opened, loaded, as_json=as_json, **how)
    elif confusion:
        at = opened.best_depth if chosen is None else chosen
        show_confusion(opened, loaded, batches, split, at, as_json=as_json)
    elif config.task == "regression":
        _show_numbers(here, loaded, batches, split, chosen, as_json=as_json)
    else:
        metrics = list(dict.fromkeys([*task_metrics(config.task), *(metric or [])]))
        result = evaluate_network(opened.net, batches.epoch(0), metrics=metrics)
        _show_scores(here, split, result, chosen, as_json=as_json)


def _check_together(
    task: str,
    *,
    exits: bool,
    confusion: bool,
    metric: list[str] | None,
    ensemble: str | None,
) -> None:
    """Raise InputError for options that leave each other, or the task of a run, nothing to say."""
    named = {"--exits": exits, "--confusion": confusion, "--metric": bool(metric)}
    if exits and ensemble is not None:
        raise InputError(
            "--exits and --ensemble came; a sample leaves at one exit, whose answer it gets. Name "
            "one of them."
        )
    given = [name for name, is_given in named.items() if is_given]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} came; each shows a table of its own, name one.")
    if metric and task == "regression":
        raise InputError("--metric came for a regression, told by R², MAE and RMSE; leave it out.")
    if exits:
        check_early_exit(task)


def _loaded(
    run: Path, opened: OpenRun, moved: dict[str, str | None]
) -> tuple[ResolvedConfig, DataSet]:
    """Load the data of a run from where they are now, and check that they are still the same."""
    places = {name: place for name, place in moved.items() if place is not None}
    config = replace(opened.config, **places)  # type: ignore[arg-type]
    with warnings.catch_warnings():
        for said in ("numbers are missing", "the images have", "left out", "the labels '"):
            warnings.filterwarnings("ignore", said)  # as training has said
        data = load_data(config, opened.preprocessor)
    check_data(run, data)
    check_sources(run, config)
    return config, data


def _show_numbers(
    opened: OpenRun,
    data: DataSet,
    batches: Batches,
    split: str,
    chosen: int | None,
    *,
    as_json: bool,
) -> None:
    """Show R² and the errors of a regression in the user's units."""
    scores = score_samples(opened.net, batches.epoch(0))
    targets = getattr(data, split).labels
    columns = number_columns(scores, targets, opened.spec.target_scale)
    if as_json:
        named = {name.lower().replace("²", "2"): of for name, of in columns.items()}
        print(json.dumps(_scores_as_json(opened, split, len(targets), named, chosen)))
        return
    title = f"{escape(opened.config.data)}, {split}: {len(targets)} samples"
    _show(opened, title, columns, columns, chosen)


def _scores_as_json(
    opened: OpenRun, split: str, count: int, columns: Columns, chosen: int | None
) -> dict[str, object]:
    depths = range(1, opened.net.num_layers + 1) if chosen is None else [chosen]
    shown = {name: {str(k): of[k - 1] for k in depths} for name, of in columns.items()}
    return {"split": split, "samples": count, **shown}


def _show_scores(
    opened: OpenRun, split: str, result: Evaluation, chosen: int | None, *, as_json: bool
) -> None:
    columns = evaluation_columns(opened.config.task, result)
    if as_json:
        told = {
            name: of
            for name, of in columns.items()
            if name.endswith("accuracy") or name in result.metrics or opened.spec.positions
        }
        print(json.dumps(_scores_as_json(opened, split, result.num_samples, told, chosen)))
        return
    what = "blocks" if opened.spec.block_size else "samples"
    title = f"{escape(opened.config.data)}, {split}: {result.num_samples} {what}"
    first = "perplexity" if "perplexity" in columns else next(iter(columns))
    _show(opened, title, columns, dict.fromkeys([first, *result.metrics]), chosen)


def _show(
    opened: OpenRun,
    title: str,
    columns: Columns,
    named: Iterable[str],
    chosen: int | None,
) -> None:
    """Show a table of every depth, or in a line what is ``named`` at one."""
    if chosen is None:
        console.print(title)
        show_table(scores_table(opened.net, columns))
        return
    values = ", ".join(f"{name} {shown_score(name, columns[name][chosen - 1])}" for name in named)
    console.print(f"{title}, depth {chosen}: {values}")


def _chosen_depth(depth: str) -> int:
    try:
        return int(depth)
    except ValueError:
        raise InputError(f"--depth {depth} came; expected a number of layers, or all.") from None

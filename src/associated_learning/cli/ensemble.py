"""``--ensemble``: answers by the mean of the last exits of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping

from associated_learning.cli.tables import console, scores_table
from associated_learning.data import Batches
from associated_learning.errors import InputError
from associated_learning.inference.ensemble import ExitEnsemble, choose_ensemble
from associated_learning.inference.evaluation import evaluate
from associated_learning.runs.folder.open_run import OpenRun
from associated_learning.runs.printable import escape
from associated_learning.runs.tasks.columns import evaluation_columns

__all__ = ["check_choice", "show_chosen_ensemble", "with_ensemble"]


def with_ensemble(opened: OpenRun, asked: str | None) -> OpenRun:
    """Return a run that answers by the mean of its last exits; as it was for auto, and for None.

    Raises:
        InputError: It is no number of exits, or one that the network has not.
    """
    if asked is None or asked == "auto":
        return opened
    if not asked.isdigit():
        raise InputError(f"--ensemble {asked} came; expected a number of exits, or auto.")
    return opened._replace(net=ExitEnsemble(opened.net, int(asked)).eval())


def check_choice(task: str, others: Mapping[str, object]) -> None:
    """Check that ``--ensemble auto`` can choose, and shows all that was asked for.

    Raises:
        InputError: It does not.
    """
    if task != "classification":
        raise InputError(
            f"--ensemble auto came for a run of --task {task}; it chooses by the share of right "
            "labels of samples. Name the number of exits."
        )
    for name, value in others.items():
        if value:
            raise InputError(
                f"--ensemble auto came with {name}; it shows a table of its own. Choose first, "
                "then name the number of exits."
            )


def show_chosen_ensemble(
    opened: OpenRun,
    folder: str,
    validation: Batches,
    batches: Batches,
    split: str,
    *,
    as_json: bool,
) -> None:
    """Choose an ensemble on the validation data, and show what it comes to on a split."""
    chosen = choose_ensemble(opened.net, validation.epoch(0))
    single = evaluate(opened.net, batches.epoch(0))
    result = evaluate(ExitEnsemble(opened.net, chosen.num_exits), batches.epoch(0))
    mean, alone = result.scores[chosen.depth - 1], single.scores[chosen.single_depth - 1]
    if as_json:
        told = {"split": split, "samples": result.num_samples, "validation": chosen._asdict()}
        print(json.dumps({**told, "ensemble": mean, "single": alone}))
        return
    console.print(f"{escape(opened.config.data)}, {split}: {result.num_samples} samples")
    name = next(iter(evaluation_columns(opened.config.task, single)))
    columns = {f"{name} alone": single.scores, f"mean of {chosen.num_exits}": result.scores}
    console.print(scores_table(ExitEnsemble(opened.net, chosen.num_exits), columns))
    count = chosen.num_exits
    last = f"the last {count} exits at depth" if count > 1 else "one exit, depth"
    console.print(
        f"Chosen on the validation data: {last} {chosen.depth}, {chosen.score:.4f} there; the best "
        f"exit alone is depth {chosen.single_depth}, {chosen.single_score:.4f}.\nOn {split}: "
        f"{mean:.4f} against {alone:.4f}. al predict {escape(folder)} --ensemble {count} "
        f"--depth {chosen.depth} answers so.",
        soft_wrap=True,
    )

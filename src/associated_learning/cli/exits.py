"""What ``al evaluate --exits`` shows: every depth, and early exit, by accuracy and cost."""

from __future__ import annotations

import json
from pathlib import Path

from rich.table import Table

from associated_learning.cli.tables import console, exit_names
from associated_learning.data import DataSet
from associated_learning.experiments.early_exit import (
    ExitReport,
    exit_report,
    parsed_goal,
    tune_run,
    write_policy,
)
from associated_learning.experiments.run import OpenRun

__all__ = ["show_exits"]


def show_exits(
    folder: Path, opened: OpenRun, data: DataSet, *, goal: str, measure: str, as_json: bool
) -> None:
    """Choose thresholds for a goal, keep them in the run's folder, and show what they come to."""
    tuned = tune_run(opened, data, parsed_goal(goal), measure)
    report = exit_report(opened, data, tuned)
    write_policy(folder, tuned)
    if as_json:
        print(json.dumps(_plain(report)))
        return
    console.print(_table(opened, report))
    drop = 100 * (report.scores[-1] - report.outcome.accuracy)
    console.print(
        f"Goal {goal}, by {measure}: {'met' if tuned.met else 'NOT met'} on the validation data, "
        f"where accuracy is {tuned.outcome.accuracy:.4f} at {100 * tuned.outcome.cost:.0f} % of "
        f"the operations.\nOn the test data {drop:+.2f} points are lost at "
        f"{100 * report.outcome.cost:.0f} % of the operations.\n"
        f"The thresholds are in {folder / 'exits.json'}: al predict {folder} --exit auto ..."
    )


def _table(opened: OpenRun, report: ExitReport) -> Table:
    table = Table(title="Test data; a sample's operations, and milliseconds by size of batch")
    sizes = [f"ms at {size}" for size in report.milliseconds]
    for heading in ("depth", "accuracy", "MFLOPs", "leave", *sizes):
        table.add_column(heading, justify="right", no_wrap=True)
    rows = zip(exit_names(opened.net), report.scores, report.flops, strict=True)
    for i, (name, score, flops) in enumerate(rows):
        times = [f"{column[i]:.3f}" for column in report.milliseconds.values()]
        share = f"{100 * report.outcome.shares[i]:.1f} %"
        table.add_row(name, f"{score:.4f}", f"{flops / 1e6:.2f}", share, *times)
    times = [f"{column[-1]:.3f}" for column in report.milliseconds.values()]
    mean = report.outcome.cost * report.flops[-1] / 1e6
    table.add_section()
    table.add_row("early exit", f"{report.outcome.accuracy:.4f}", f"{mean:.2f}", "", *times)
    return table


def _plain(report: ExitReport) -> dict[str, object]:
    return {
        "policy": report.tuned.policy.to_json(),
        "met": report.tuned.met,
        "validation": report.tuned.outcome._asdict(),
        "test": report.outcome._asdict(),
        "accuracy": report.scores,
        "flops": report.flops,
        "milliseconds": report.milliseconds,
    }

"""What ``al evaluate --exits`` shows: every depth, and early exit, by accuracy and cost."""

from __future__ import annotations

import json
from pathlib import Path

from rich.table import Table

from associated_learning.cli.tables import exit_names, say, show_table
from associated_learning.data import DataSet
from associated_learning.runs.exits.early_exit import parsed_goal, recorded, write_policy
from associated_learning.runs.exits.plot import plot_exits
from associated_learning.runs.exits.report import ExitReport, OperatingPoint, exit_report
from associated_learning.runs.folder.open_run import OpenRun, open_run
from associated_learning.runs.printable import escape

__all__ = ["show_exits"]


def show_exits(
    folder: Path,
    opened: OpenRun,
    data: DataSet,
    *,
    goal: str,
    measure: str,
    against: Path | None,
    as_json: bool,
) -> None:
    """Choose thresholds for a goal, keep them in the run's folder, and show what they come to."""
    rival = None if against is None else open_run(against)
    validation = recorded(opened, data, "validation")
    tuned = validation.tuned(parsed_goal(goal), measure)
    report = exit_report(opened, data, tuned, validation=validation, backprop=rival)
    picture = folder / "plots" / "exits.png"
    plot_exits(report, picture)
    write_policy(folder, tuned)
    if as_json:
        print(json.dumps(_report_as_json(report, opened.best_depth)))
        return
    show_table(_table(opened, report))
    drop = 100 * (report.depths[-1].accuracy - report.adaptive.accuracy)
    run = escape(str(folder))
    say(_beside_one_depth(opened, report))
    say(
        f"Goal {goal}, by {measure}: {'met' if tuned.met else 'NOT met'} on the validation data, "
        f"where accuracy is {tuned.outcome.accuracy:.4f} at {100 * tuned.outcome.cost:.0f} % of "
        f"the operations.\nOn the test data {drop:+.2f} points are lost at "
        f"{100 * report.outcome.cost:.0f} % of the operations.\n"
        f"The picture is {escape(str(picture))}. The thresholds are in {run}/exits.json: "
        f"al predict {run} --exit auto ..."
    )


def _beside_one_depth(opened: OpenRun, report: ExitReport) -> str:
    """Say whether early exit beats the one depth that was best on the validation data."""
    depth, early, full = opened.best_depth, report.adaptive, report.depths[-1]
    single = report.depths[depth - 1]
    figures = (
        f"{single.accuracy:.4f} at {100 * single.flops / full.flops:.0f} % of the operations, "
        f"against {early.accuracy:.4f} at {100 * early.flops / full.flops:.0f} % by early exit"
    )
    name = f"Depth {depth} alone, the best on the validation data, has {figures}"
    if single.accuracy >= early.accuracy and single.flops <= early.flops:
        return f"{name}: the single depth wins. Use it, as al predict does by default."
    if single.accuracy > early.accuracy:
        return f"{name}: it is more often right, early exit is cheaper."
    if single.flops < early.flops:
        return f"{name}: it is cheaper, early exit is more often right."
    return f"{name}: early exit wins."


def _table(opened: OpenRun, report: ExitReport) -> Table:
    table = Table(title="Test data; a sample's operations, and milliseconds by size of batch")
    sizes = [f"ms at {size}" for size in report.adaptive.milliseconds]
    for heading in ("depth", "accuracy", "MFLOPs", "leave", *sizes):
        table.add_column(heading, justify="right", no_wrap=True)
    rows = zip(exit_names(opened.net), report.depths, report.outcome.shares, strict=True)
    for name, way, share in rows:
        _add(table, name, way, f"{100 * share:.1f} %")
    table.add_section()
    _add(table, "early exit", report.adaptive)
    if report.backprop is not None:
        _add(table, "BP", report.backprop)
    return table


def _add(table: Table, name: str, way: OperatingPoint, share: str = "") -> None:
    times = [f"{milliseconds:.3f}" for milliseconds in way.milliseconds.values()]
    table.add_row(name, f"{way.accuracy:.4f}", f"{way.flops / 1e6:.2f}", share, *times)


def _report_as_json(report: ExitReport, best_depth: int) -> dict[str, object]:
    return {
        "policy": report.tuned.policy.to_json(),
        "met": report.tuned.met,
        "best_depth": best_depth,
        "validation": report.tuned.outcome._asdict(),
        "test": report.outcome._asdict(),
        "early_exit": report.adaptive._asdict(),
        "depths": [way._asdict() for way in report.depths],
        "budgets": [way._asdict() for way in report.budgets],
        "backprop": None if report.backprop is None else report.backprop._asdict(),
    }

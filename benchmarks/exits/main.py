"""What does early exit save, and what does it cost, on real data?

Run: ``python benchmarks/exits/main.py --data-root DATA``. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from associated_learning.runs.exits.early_exit import parsed_goal, recorded
from associated_learning.runs.exits.plot import plot_exits
from associated_learning.runs.exits.report import BATCH_SIZES, ExitReport, exit_report
from associated_learning.runs.folder.open_run import open_run
from associated_learning.runs.inputs import load_data
from associated_learning.runs.ledger.rows import append_row, make_row
from associated_learning.runs.result import read_result
from associated_learning.runs.run import read_config, train_run
from associated_learning.runs.settings.config import RunConfig
from associated_learning.training.progress_bar import ProgressBar
from associated_learning.verification.memory import keep_freed_memory

# association: that of the published figures, not today's default
SETTINGS: dict[str, dict[str, Any]] = {
    "sst2-bilstm": {"lr": 5e-4, "dropout": 0.3, "epochs": 4, "patience": 2},
    "sst2-transformer": {"epochs": 6, "patience": 2},
    "ag_news-bilstm": {"lr": 5e-4, "dropout": 0.3, "epochs": 3, "patience": 2},
    "ag_news-transformer": {"epochs": 10, "patience": 3},
    "fashion_mnist-cnn": {"lr": 1e-3, "schedule": "cosine", "epochs": 6, "patience": 0,
                          "association": "squared"},
}  # fmt: skip


def main() -> None:
    """Train what is not trained, print a table, and one line of JSON last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", help="folder with NAME/SPLIT.parquet; else the hub")
    parser.add_argument("--vectors", help="word vectors for the texts, such as GloVe's")
    parser.add_argument("--runs", type=Path, default=Path("runs/exits"), help="trained networks")
    parser.add_argument("--ledger", type=Path, help="append a row for each run to this file")
    parser.add_argument("--goal", default="accuracy:0.2")
    parser.add_argument("--measure", default="probability")
    parser.add_argument("--only", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--threads", type=int, default=1, help="intra-op threads of torch")
    arguments = parser.parse_args()
    keep_freed_memory()
    table = _table()
    time_share: dict[str, dict[int, float]] = {}
    accuracy_drop: dict[str, float] = {}
    for name in arguments.only:
        report = _report(name, arguments)
        plot_exits(report, arguments.runs / f"{name}.png")
        full, early = report.depths[-1], report.adaptive
        time_share[name] = {
            size: early.milliseconds[size] / full.milliseconds[size] for size in BATCH_SIZES
        }
        accuracy_drop[name] = 100 * (full.accuracy - early.accuracy)
        _add(table, name, report)
    Console(width=160).print(table)
    print(json.dumps({"time_share": time_share, "accuracy_drop": accuracy_drop}))


def _report(name: str, arguments: argparse.Namespace) -> ExitReport:
    al, bp = (_trained(name, method, arguments) for method in ("al", "bp"))
    opened, rival = open_run(al), open_run(bp)
    places = {"data_root": arguments.data_root, "vectors": arguments.vectors}
    data = load_data(replace(opened.config, **places), opened.preprocessor)
    torch.set_num_threads(arguments.threads)
    validation = recorded(opened, data, "validation")
    tuned = validation.tuned(parsed_goal(arguments.goal), arguments.measure)
    return exit_report(opened, data, tuned, validation=validation, backprop=rival)


def _trained(name: str, method: str, arguments: argparse.Namespace) -> Path:
    """Return the folder of a finished run; a finished one is taken as it is."""
    folder: Path = arguments.runs / f"{name}-{method}-0"
    data, _, model = name.rpartition("-")
    if read_result(folder) is None:
        config = RunConfig(
            data=data,
            data_root=arguments.data_root,
            vectors=arguments.vectors if model in ("bilstm", "transformer") else None,
            model=model,
            method=method,
            threads=1,
            save_every=200,
            preset="paper",  # that of the published figures
            **_settings(name, method),
        )
        train_run(config, folder, callbacks=[ProgressBar(f"{name} by {method.upper()}")])
    result = read_result(folder)
    if arguments.ledger is not None and result is not None:
        config = read_config(folder)
        append_row(arguments.ledger, make_row(config, result, experiment="exits"))
    return folder


def _settings(name: str, method: str) -> dict[str, Any]:
    """Return the settings of a run; backpropagation has no bridges."""
    of_al = () if method == "al" else ("association",)
    return {key: value for key, value in SETTINGS[name].items() if key not in of_al}


def _table() -> Table:
    table = Table(title="Early exit on the test data; time and operations as shares of full depth")
    headings = ("run", "full, %", "early, %", "lost", "BP, %", "operations")
    for heading in (*headings, *(f"time at {size}" for size in BATCH_SIZES), "leave at depth 1, 2"):
        table.add_column(heading, justify="left" if heading == "run" else "right")
    return table


def _add(table: Table, name: str, report: ExitReport) -> None:
    full, early, rival = report.depths[-1], report.adaptive, report.backprop
    shares = [early.milliseconds[size] / full.milliseconds[size] for size in BATCH_SIZES]
    table.add_row(
        name,
        f"{100 * full.accuracy:.2f}",
        f"{100 * early.accuracy:.2f}",
        f"{100 * (full.accuracy - early.accuracy):+.2f}",
        "" if rival is None else f"{100 * rival.accuracy:.2f}",
        f"{early.flops / full.flops:.2f}",
        *(f"{share:.2f}" for share in shares),
        ", ".join(f"{100 * share:.0f} %" for share in report.outcome.shares),
    )


if __name__ == "__main__":
    main()

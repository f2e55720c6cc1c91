"""Does the distance to the nearest label tell strange inputs and wrong labels, and what else does?

Run: ``python benchmarks/rejection/main.py --data-root DATA``. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from judging import strange_inputs, wrong_labels
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))  # kept.py and rates.py serve several

from kept import once
from rates import best_rate

from associated_learning.runs.folder.open_run import OpenRun, open_run
from associated_learning.runs.result import RunResult
from associated_learning.runs.run import train_run
from associated_learning.runs.settings.config import RunConfig
from associated_learning.training.progress_bar import ProgressBar

RATES = (5e-4, 1e-3, 2e-3)  # of both methods, on seed 0 and the validation data
MORE = 3  # beyond them at most, while the best is at an edge
SETTINGS: dict[str, dict[str, Any]] = {
    "mlp": {"limit_train": 10_000, "batch_size": 64, "epochs": 10},
    "cnn": {"limit_train": 3000, "batch_size": 32, "epochs": 5, "precision": "bf16"},
}
SHARED: dict[str, Any] = {
    "data": "fashion_mnist", "validation_fraction": 0.02, "schedule": "constant", "patience": 0,
    "threads": 1,
}  # fmt: skip
# the same encoders: training and head differ
METHODS: dict[str, dict[str, Any]] = {
    "al": {"method": "al", "association": "squared"},
    "bp": {"method": "bp", "encoders": "al"},
}
Values = dict[str, list[float]]  # of every seed by score
Judge = Callable[[OpenRun, str | None], dict[str, float]]


def main() -> None:
    """Train what is not trained, print two tables, and one line of JSON last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", help="folder with NAME/SPLIT.parquet; else the hub")
    parser.add_argument("--runs", type=Path, default=Path("runs/rejection"))
    parser.add_argument("--model", choices=SETTINGS, default="cnn")
    parser.add_argument("--noise", type=float, default=0.2, help="share of labels drawn anew")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, Any] = {"n": arguments.seeds, "strange": {}, "wrong": {}}
    for method in METHODS:
        for kind, values in _of_method(method, arguments).items():
            found.setdefault(kind, {})[method] = values
    for kind, title in (("strange", "Strange inputs found"), ("wrong", "Wrong labels found")):
        Console(width=120).print(_table(title, found[kind]))
    print(json.dumps(found))


def _of_method(method: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return rates, accuracies and the values of all scores: one of every seed."""
    rate, tried = best_rate(RATES, partial(_validated, method, arguments), more=MORE)
    strange: Values = {}
    wrong: Values = {}
    accuracy: Values = {}
    for seed in range(arguments.seeds):
        for noise, judge, total in (
            (0.0, strange_inputs, strange),
            (arguments.noise, wrong_labels, wrong),
        ):
            run = Run(method, rate, seed, noise)
            accuracy.setdefault(f"noise {noise}", []).append(run.train(arguments).test_scores[-1])
            for name, value in run.judged(judge, arguments).items():
                total.setdefault(name, []).append(value)
    return {
        "rate": rate, "tried": tried, "accuracy": accuracy, "strange": strange, "wrong": wrong
    }  # fmt: skip


def _validated(method: str, arguments: argparse.Namespace, rate: float) -> float:
    return Run(method, rate, 0, 0.0).train(arguments).validation_scores[-1]


class Run(NamedTuple):
    """A training: everything that its result depends on, but what `main` was called with."""

    method: str
    rate: float
    seed: int
    noise: float

    def folder(self, arguments: argparse.Namespace) -> Path:
        """Return the folder of the run."""
        runs: Path = arguments.runs
        return (
            runs / f"{arguments.model}-{self.method}-{self.rate:g}-noise-{self.noise:g}-{self.seed}"
        )

    def train(self, arguments: argparse.Namespace) -> RunResult:
        """Train, unless that was done; return what came out."""
        config = RunConfig(
            data_root=arguments.data_root,
            lr=self.rate,
            seed=self.seed,
            label_noise=self.noise,
            preset="paper",
            model=arguments.model,
            **SHARED,
            **SETTINGS[arguments.model],
            **METHODS[self.method],
        )
        folder = self.folder(arguments)
        return train_run(config, folder, callbacks=[ProgressBar(folder.name)], plots=False)

    def judged(self, judge: Judge, arguments: argparse.Namespace) -> dict[str, float]:
        """Return the AUROC of every score."""
        folder = self.folder(arguments)
        return once(
            folder.with_name(f"{folder.name}.json"),
            lambda: judge(open_run(folder), arguments.data_root),
        )


def _table(title: str, found: dict[str, Values]) -> Table:
    table = Table("method", "score", "AUROC", "sd", "n", title=title)
    for method, scores in found.items():
        for name, values in scores.items():
            sd, mean = torch.std_mean(torch.tensor(values))
            table.add_row(method, name, f"{mean:.3f}", f"{sd:.3f}", str(len(values)))
    return table


if __name__ == "__main__":
    main()

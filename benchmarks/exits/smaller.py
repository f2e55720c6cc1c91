"""Early exit beside its true rivals, trained by backpropagation with the same encoders.

They are smaller networks, and one network with an exit at every depth (deep supervision).
Run: ``python benchmarks/exits/smaller.py --data-root DATA``. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from trial import LOST, SETTINGS, Trial

import associated_learning as al

sys.path.insert(0, str(Path(__file__).parents[1]))  # kept.py and rates.py serve several

from kept import once
from rates import best_rate

RATES = (5e-4, 1e-3, 2e-3)  # tried by all alike, on seed 0 and the validation data
MORE = 3  # beyond them at most, while the best is at an edge
WITH_EXITS = ("al", "deep supervision")
Figures = dict[str, Any]  # of a training: see `Trial.figures`
Found = dict[str, list[Figures]]  # those of each seed by contestant


def run(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of every contestant and seed, each with the rate chosen on seed 0."""
    places = {"data_root": arguments.data_root, "vectors": arguments.vectors}
    found: Found = {}
    tried: dict[str, dict[float, float]] = {}
    rates: dict[str, float] = {}
    for seed in range(arguments.seeds):
        trial = Trial(name, seed, places)
        for method, make in trial.contestants().items():
            if method not in (arguments.contestants or [method]):
                continue
            stem = arguments.runs / f"{name}-{method.replace(' ', '_')}"
            trained = partial(_trained, trial, make, stem)
            if seed == 0:
                judged = partial(_judged, trained)
                rates[method], tried[method] = best_rate(RATES, judged, more=MORE)
            found.setdefault(method, []).append(trained(rates[method]))
    return {"tried": tried, "rates": rates, "found": found}


def _trained(trial: Trial, make: Callable[[], al.Network], stem: Path, rate: float) -> Figures:
    file = stem.with_name(f"{stem.name}-{rate:g}-{trial.config.seed}.json")
    return once(file, partial(trial.figures, make, rate))


def _judged(trained: Callable[[float], Figures], rate: float) -> float:
    score: float = trained(rate)["validation"][-1]
    return score


def smallest(validation: Sequence[float]) -> int:
    """Return the index of the first depth that loses at most `LOST` against the last one."""
    return next(k for k, one in enumerate(validation) if one >= validation[-1] - LOST)


def table_of(name: str, found: Found) -> Table:
    """Return the figures of a data set as a table: means over seeds."""
    table = Table(title=f"{name}: test accuracy in percent, operations as a share of AL's")
    for heading in ("answer", "accuracy", "operations"):
        table.add_column(heading, justify="left" if heading == "answer" else "right")

    def add(what: str, accuracies: list[float], operations: list[float]) -> None:
        spread = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0
        accuracy = f"{100 * statistics.mean(accuracies):.2f} ± {100 * spread:.2f}"
        table.add_row(what, accuracy, f"{statistics.mean(operations):.2f}")

    def add_depths(what: str, of_seeds: list[Figures], depths: Sequence[int]) -> None:
        both = list(zip(of_seeds, depths, strict=True))
        add(what, *([one[key][k] for one, k in both] for key in ("test", "operations")))

    for method, of_seeds in found.items():
        for k in range(len(of_seeds[0]["test"])):
            exit_ = f", exit {k + 1}" if method in WITH_EXITS else ""
            add_depths(f"{method}{exit_}", of_seeds, [k for _ in of_seeds])
    for method in (one for one in WITH_EXITS if one in found):
        early = [one["early exit"] for one in found[method]]
        what = f"{method}, early exit"
        add(what, *([one[key] for one in early] for key in ("accuracy", "operations")))
        chosen = [smallest(one["validation"]) for one in found[method]]
        add_depths(f"{method}, the first exit within 0.2 points", found[method], chosen)
    networks = [of_seeds for method, of_seeds in found.items() if method not in WITH_EXITS]
    picked = [
        of_seed[smallest([one["validation"][0] for one in of_seed])]
        for of_seed in zip(*networks, strict=True)
    ]
    if picked:
        add_depths("bp, the smallest network within 0.2 points", picked, [0 for _ in picked])
    return table


def main() -> None:
    """Train what is not trained, print a table for each set, and one line of JSON last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", help="folder with NAME/SPLIT.parquet; else the hub")
    parser.add_argument("--vectors", help="word vectors for the texts, such as GloVe's")
    parser.add_argument("--runs", type=Path, default=Path("runs/smaller"), help="finished")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--contestants", nargs="+", help="such as al 'bp 1'; all by default")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = {name: run(name, arguments) for name in arguments.only}
    for name, figures in found.items():
        Console(width=100).print(table_of(name, figures["found"]))
    print(json.dumps(found))


if __name__ == "__main__":
    main()

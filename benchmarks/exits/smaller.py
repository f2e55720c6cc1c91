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

RATES = (5e-4, 1e-3, 2e-3, 4e-3)  # tried by all alike, on seed 0 and the validation data
MORE = 2  # beyond them at most, while the best is at an edge
WITH_EXITS = {"al": "AL", "deep supervision": "deep supervision"}
Figures = dict[str, Any]  # of a training: see `Trial.figures`
Found = dict[str, list[Figures]]  # those of each seed by contestant


def run(name: str, seeds: int, places: dict[str, Any], runs: Path) -> dict[str, Any]:
    """Return the figures of every contestant and seed, each with the rate chosen on seed 0."""
    found: Found = {}
    tried: dict[str, dict[float, float]] = {}
    rates: dict[str, float] = {}
    for seed in range(seeds):
        trial = Trial(name, seed, places)
        for method, make in trial.contestants().items():
            trained = partial(_trained, trial, make, runs / f"{name}-{method.replace(' ', '_')}")
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
    seeds = range(len(found["al"]))
    whole = found["al"][0]["operations"][-1]

    def add(what: str, accuracies: list[float], operations: list[float]) -> None:
        spread = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0
        accuracy = f"{100 * statistics.mean(accuracies):.2f} ± {100 * spread:.2f}"
        table.add_row(what, accuracy, f"{statistics.mean(operations) / whole:.2f}")

    def add_depths(what: str, of_seeds: list[Figures], depths: Sequence[int]) -> None:
        both = list(zip(of_seeds, depths, strict=True))
        add(what, *([one[key][k] for one, k in both] for key in ("test", "operations")))

    small = [found[method] for method in found if method not in WITH_EXITS]
    for k, networks in enumerate(small):
        add_depths(f"BP, network of {k + 1} layers", networks, [0 for _ in seeds])
        for method, title in WITH_EXITS.items():
            add_depths(f"{title}, exit {k + 1}", found[method], [k for _ in seeds])
    for method, title in WITH_EXITS.items():
        early = [one["early exit"] for one in found[method]]
        add(
            f"{title}, early exit", *([e[key] for e in early] for key in ("accuracy", "operations"))
        )
        chosen = [smallest(one["validation"]) for one in found[method]]
        add_depths(f"{title}, the first exit within 0.2 points", found[method], chosen)
    picked = [
        small[smallest([networks[seed]["validation"][0] for networks in small])][seed]
        for seed in seeds
    ]
    add_depths("BP, the smallest network within 0.2 points", picked, [0 for _ in seeds])
    return table


def main() -> None:
    """Train what is not trained, print a table for each set, and one line of JSON last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", help="folder with NAME/SPLIT.parquet; else the hub")
    parser.add_argument("--vectors", help="word vectors for the texts, such as GloVe's")
    parser.add_argument("--runs", type=Path, default=Path("runs/smaller"), help="finished")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    places = {"data_root": arguments.data_root, "vectors": arguments.vectors}
    found = {name: run(name, arguments.seeds, places, arguments.runs) for name in arguments.only}
    for name, figures in found.items():
        Console(width=100).print(table_of(name, figures["found"]))
    print(json.dumps(found))


if __name__ == "__main__":
    main()

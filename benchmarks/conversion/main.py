"""What does conversion cost: once, and in every step after it?

Run: ``python benchmarks/conversion/main.py``. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))  # timing.py and update.py serve several

from networks import MODELS, PAIRS
from timing import CLOCKS, Spread, alternate, ratios, spread
from update import training_step

import associated_learning as al
from associated_learning.verification.memory import keep_freed_memory


def conversion_seconds(name: str, rounds: int, clock: str) -> Spread:
    """Return how long the conversion of a model takes, at="auto", with its quick checks."""
    seconds = []
    for _ in range(rounds):
        model, x = MODELS[name]()
        begin = CLOCKS[clock]()
        al.convert(model, x, target=al.Classes(2))
        seconds.append(CLOCKS[clock]() - begin)
    return spread(seconds)


def step_ratio(name: str, rounds: int, clock: str) -> tuple[dict[str, Spread], Spread]:
    """Return milliseconds a step of both networks, and the converted one's over the other's."""
    torch.manual_seed(0)
    pair = PAIRS[name]()
    nets = {"converted": pair.converted, "by hand": pair.by_hand}
    steps = {key: training_step(net.train(), pair.x, pair.y) for key, net in nets.items()}
    seconds = alternate(steps, rounds=rounds, calls=3, clock=CLOCKS[clock])
    spreads = {key: spread([1e3 * value for value in values]) for key, values in seconds.items()}
    return spreads, ratios(seconds["converted"], seconds["by hand"])


def main() -> None:
    """Print two tables, and the medians as one line of JSON last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2, help="intra-op threads of torch")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    console = Console(width=100)
    rounds = max(3, arguments.rounds // 3)
    costs = {name: conversion_seconds(name, rounds, arguments.clock) for name in MODELS}
    table = Table("model", "seconds", "n", title="Conversion with quick checks")
    for name, cost in costs.items():
        table.add_row(name, str(cost), str(cost.n))
    console.print(table)
    found = {name: step_ratio(name, arguments.rounds, arguments.clock) for name in PAIRS}
    table = Table("network", "converted, ms", "by hand, ms", "ratio", "n", title="A training step")
    for name, (spreads, ratio) in found.items():
        by_hand = str(spreads["by hand"])
        table.add_row(name, str(spreads["converted"]), by_hand, str(ratio), str(ratio.n))
    console.print(table)
    line = {
        "conversion_seconds": {name: round(cost.median, 2) for name, cost in costs.items()},
        "converted_over_by_hand": {
            name: round(ratio.median, 3) for name, (_, ratio) in found.items()
        },
    }
    print(json.dumps({**line, "n": arguments.rounds, "threads": arguments.threads}))


if __name__ == "__main__":
    main()

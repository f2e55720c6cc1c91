"""What do layers in isolation reach by each local loss, beside BP of the same encoders?

Run: ``python benchmarks/local_losses/main.py --data-root DATA``. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from tasks import TASKS, Task, network

sys.path.insert(0, str(Path(__file__).parents[1]))  # kept.py and rates.py serve several

from kept import once
from rates import best_rate

import associated_learning as al
from associated_learning.data.batches import Batches
from associated_learning.inference.ensemble import choose_ensemble
from associated_learning.runs.folder.provenance import describe_hardware, find_provenance
from associated_learning.state.optimizers import make_optimizers
from associated_learning.training.length import warm_cosine
from associated_learning.verification.memory import peak_memory

# as many for every method
RATES = {"texts": (1e-3, 2e-3, 4e-3, 8e-3, 16e-3), "images": (5e-4, 1e-3, 2e-3, 4e-3)}
SAMPLES = {"texts": 3000, "images": 2000}
EPOCHS = {"texts": 3, "images": 5}
TESTED = 4000  # samples at most
MORE = 3  # beyond the grid at most, while the best is at an edge
UNIFORM = {"bridge": "block", "bridge_select": "uniform", "bridge_blocks": 2}
METHODS: dict[str, dict[str, Any]] = {
    "bp": {"bp": True},
    "bp, without the top": {"bp": True, "without": 1},
    "bp, without two": {"bp": True, "without": 2},
    "squared": {"association": "squared"},
    "contrast": {"association": "contrast"},
    "ce": {"association": "ce"},
    "squared, pairs": {"association": "squared", "pairs": True},
    "squared, block": {"association": "squared", "bridge": "block"},
    "squared, overlap": {"association": "squared", "overlap": True},
    "squared, smoothing": {"association": "squared", "label_smoothing": 0.1},
    "contrast, pairs": {"association": "contrast", "pairs": True},
    "ce, pairs": {"association": "ce", "pairs": True},
    "squared, etf": {"association": "squared", "coders": "etf"},
    "contrast, etf": {"association": "contrast", "coders": "etf"},
    "contrast, block": {"association": "contrast", "bridge": "block"},
    "ce, block": {"association": "ce", "bridge": "block"},
    "ce, frozen": {"association": "ce", "bridge": "block", "bridge_frozen": True},
    "ce, uniform": {"association": "ce", **UNIFORM},
    "ce, momentum 0": {"association": "ce", "bridge": "block", "bridge_momentum": 0.0},
    "ce, momentum 0.9": {"association": "ce", "bridge": "block", "bridge_momentum": 0.9},
    "ce, overlap": {"association": "ce", "overlap": True},
    "contrast, overlap": {"association": "contrast", "overlap": True},
    "contrast, input 0.1": {"association": "contrast", "input_loss": 0.1},
    "contrast, input 1": {"association": "contrast", "input_loss": 1.0},
    "ce, input 1": {"association": "ce", "input_loss": 1.0},
    "scpl": {"association": "scpl"},
    "predsim": {"association": "predsim"},
}


class Trial(NamedTuple):
    """One training: everything that its result depends on, but what `main` was called with."""

    method: str
    rate: float
    seed: int


def main() -> None:
    """Train what is not trained yet, print a table and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=TASKS, default="texts")
    parser.add_argument("--data-root", help="folder with NAME/SPLIT.parquet; else the hub")
    parser.add_argument("--runs", type=Path, default=Path("runs/local_losses"), help="finished")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", type=int, help="to train on")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--threads", type=int, default=1, help="intra-op threads of torch")
    arguments = parser.parse_args()
    task = arguments.task
    arguments.samples = arguments.samples or SAMPLES[task]
    arguments.epochs = arguments.epochs or EPOCHS[task]
    torch.set_num_threads(arguments.threads)
    sets = {
        seed: TASKS[task](arguments.data_root, arguments.samples, seed)
        for seed in range(arguments.seeds)
    }
    found = {method: results(method, sets, arguments) for method in arguments.methods}
    Console(width=130).print(table(found))
    about = {key: getattr(arguments, key) for key in ("task", "seeds", "samples", "epochs")}
    where = {"hardware": describe_hardware("cpu"), "commit": find_provenance().commit}
    print(json.dumps({**found, **about, "rates": RATES[task], **where}))


def results(method: str, sets: dict[int, Task], arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what a method reaches: its rate chosen by validation on the first seed."""

    def score(rate: float) -> float:
        validation: float = trained(Trial(method, rate, 0), sets[0], arguments)["validation"][-1]
        return validation

    best, tried = best_rate(RATES[arguments.task], score, more=MORE)
    trials = [trained(Trial(method, best, seed), sets[seed], arguments) for seed in sets]
    exits = zip(*(trial["test"] for trial in trials), strict=True)
    return {
        **_spread("full", [trial["test"][-1] for trial in trials]),
        **_spread("single", [trial["single"] for trial in trials]),
        **_spread("ensemble", [trial["ensemble"] for trial in trials]),
        "exits": [round(100 * statistics.mean(depth), 2) for depth in exits],
        "rate": best,
        "trials": len(tried),
        "at_edge": best in (min(tried), max(tried)),
        "updates": trials[0]["updates"],
        "seconds": round(statistics.mean(trial["seconds"] for trial in trials), 1),
        "megabytes": round(trials[0]["bytes"] / 1e6, 1),
    }


def _spread(name: str, values: Sequence[float]) -> dict[str, float | None]:
    percent = [100 * value for value in values]
    deviation = round(statistics.stdev(percent), 2) if len(percent) > 1 else None
    return {name: round(statistics.mean(percent), 2), f"{name}_deviation": deviation}


def trained(trial: Trial, task: Task, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train one network, unless it was done before; return the accuracy of every exit.

    ``single`` is the test accuracy of the exit that is best on validation data, ``ensemble`` that
    of the mean of exits that is.
    """
    size = f"{arguments.task}-{arguments.samples}-{arguments.epochs}"
    name = trial.method.replace(", ", "-").replace(" ", "")
    file = arguments.runs / f"{name}-{trial.rate:g}-{trial.seed}-{size}.json"
    return once(file, partial(_figures, trial, task, arguments.epochs))


def _figures(trial: Trial, task: Task, epochs: int) -> dict[str, Any]:
    data = task.data
    batches = Batches(samples=data.train, batch_size=32, seed=trial.seed)
    x, y = next(batches.epoch(0))
    torch.manual_seed(trial.seed)
    net = network(task, x, **METHODS[trial.method])
    held = _memory(net, x, y)
    torch.manual_seed(trial.seed)
    net = network(task, x, **METHODS[trial.method])
    begin = time.process_time()
    trainer = al.Trainer(
        epochs=epochs,
        lr=trial.rate,
        clip=1.0,
        seed=trial.seed,
        **warm_cosine(epochs, len(batches)),
    )
    trainer.fit(net, batches)
    seconds = time.process_time() - begin
    return {
        **_judged(net, data),
        "updates": epochs * len(batches),
        "seconds": round(seconds, 1),
        "bytes": held,
    }


def _memory(net: al.Network, x: Any, y: torch.Tensor) -> int:
    """Return the peak of a second update beyond weights and states, in bytes."""
    blocks, t0 = net.blocks(), net.target.encode(y)
    optimizers = make_optimizers(blocks)

    def update() -> None:
        al.update_network(blocks, optimizers, x, t0, step=0)

    update()
    net.zero_grad(set_to_none=True)
    return peak_memory(update)


def _judged(net: al.Network, data: Any) -> dict[str, Any]:
    def batches(samples: Any) -> list[Any]:
        made = Batches(samples=samples, batch_size=128, shuffle=False).epoch(0)
        return list(itertools.islice(made, TESTED // 128))

    validation = al.evaluate(net, batches(data.validation)).scores
    test = al.evaluate(net, batches(data.test)).scores
    found = {"validation": validation, "test": test, "single": test[-1], "ensemble": test[-1]}
    if isinstance(net, al.ALNetwork):
        chosen = choose_ensemble(net, batches(data.validation))
        together = al.ExitEnsemble(net, chosen.num_exits)
        found["single"] = test[chosen.single_depth - 1]
        found["ensemble"] = test[chosen.depth - 1]
        if chosen.num_exits > 1:
            found["ensemble"] = al.evaluate(together, batches(data.test)).scores[chosen.depth - 1]
        found["chosen"] = chosen._asdict()
    return found


def table(found: dict[str, dict[str, Any]]) -> Table:
    """Return a table of what every method reaches."""
    headings = ("full depth, %", "best exit", "ensemble", "each exit", "rate", "trials", "edge")
    made = Table("method", *headings, "CPU s", "MB")
    for method, one in found.items():
        scores = [_told(one, name) for name in ("full", "single", "ensemble")]
        exits = ", ".join(f"{value:.1f}" for value in one["exits"])
        edge = "yes" if one["at_edge"] else ""
        figures = [f"{one['rate']:g}", str(one["trials"]), edge, str(one["seconds"])]
        made.add_row(method, *scores, exits, *figures, str(one["megabytes"]))
    return made


def _told(one: dict[str, Any], name: str) -> str:
    deviation = one[f"{name}_deviation"]
    return f"{one[name]:.2f}" + ("" if deviation is None else f" ± {deviation:.2f}")


if __name__ == "__main__":
    main()

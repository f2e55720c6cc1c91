"""Is a grown network as good as one of the same depth whose layers were trained all at once?

Run: ``python benchmarks/growth/accuracy.py --data-root DATA``. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from associated_learning.runs.ledger.rows import append_row, make_row
from associated_learning.runs.result import RunResult
from associated_learning.runs.run import train_run
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.settings.resolved import resolved

EPOCHS, PATIENCE = 40, 3
# num_layers: above the embedding of texts, all for the MLP; the CNN has four, no fewer
TASKS: dict[str, dict[str, Any]] = {
    "fashion_mnist, mlp": {"data": "fashion_mnist", "model": "mlp", "num_layers": 4},
    "sst2, transformer": {"data": "sst2", "model": "transformer", "num_layers": 3, "lr": 5e-4},
    "ag_news, bilstm": {"data": "ag_news", "model": "bilstm", "num_layers": 2, "lr": 1e-3,
                        "hidden": 150},
    "fashion_mnist, cnn": {"data": "fashion_mnist", "model": "cnn", "lr": 1e-3, "limit_train": 4000,
                           "schedule": "constant", "grow_rise": 0.005, "association": "squared"},
}  # fmt: skip


class Arm(NamedTuple):
    """A way to train; the lists of runs have one for each seed.

    Attributes:
        name: What the table calls it.
        config: Its settings.
    """

    name: str
    config: RunConfig


def arms(task: str, root: str | None, samples: int) -> Iterator[Arm]:
    """Yield the two grown networks and one for each depth."""
    settings = {"limit_train": samples, **TASKS[task]}
    rise = settings.pop("grow_rise", 0.0)
    base = RunConfig(**settings, data_root=root, epochs=EPOCHS, threads=1, preset="paper")
    whole = replace(base, patience=PATIENCE)
    if base.num_layers is None:
        yield Arm("at once, all", whole)
    for depth in range(1, 1 + (base.num_layers or 0)):
        yield Arm(f"at once, {depth}", replace(whole, num_layers=depth))
    grown = replace(base, grow_from=1, grow_patience=PATIENCE, grow_rise=rise)
    yield Arm("grown", grown)
    yield Arm("grown, frozen below", replace(grown, grow_freeze=True))


def run(config: RunConfig, folder: Path) -> RunResult:
    """Train a run, or read what it came to; in a process of its own."""
    torch.set_num_threads(1)
    return train_run(config, folder)


def all_runs(arguments: argparse.Namespace) -> dict[tuple[str, str], list[RunResult]]:
    """Train all that is not trained, and add the rows to the ledger."""
    jobs = []
    for task, seed in itertools.product(arguments.only, range(arguments.seeds)):
        for arm in arms(task, arguments.data_root, arguments.samples):
            config = resolved(replace(arm.config, seed=seed))
            folder = arguments.runs / f"{task}-{arm.name}-{seed}".replace(", ", "-")
            jobs.append((task, arm.name, config, folder))
    found: dict[tuple[str, str], list[RunResult]] = {}
    with ProcessPoolExecutor(arguments.jobs) as pool:
        futures = [pool.submit(run, config, folder) for *_, config, folder in jobs]
        for (task, name, config, _), future in track(
            list(zip(jobs, futures, strict=True)), description="runs", total=len(jobs)
        ):
            result = future.result()
            found.setdefault((task, name), []).append(result)
            if arguments.ledger is not None:
                variant = name.replace(", ", "-").replace(" ", "-")
                row = make_row(config, result, experiment="growth", variant=variant)
                append_row(arguments.ledger, row)
    return found


def table(found: dict[tuple[str, str], list[RunResult]]) -> Table:
    """Return what each way came to."""
    made = Table("task", "way", "depth kept", "test, %", "epochs", "layer epochs", "n")
    for (task, name), results in found.items():
        tests = [100 * result.test_scores[-1] for result in results]
        kept = "; ".join(str(len(result.test_scores)) for result in results)
        epochs = "; ".join(str(result.epochs) for result in results)
        cost = statistics.mean(map(layer_epochs, results))
        made.add_row(task, name, kept, _spread(tests), epochs, f"{cost:.0f}", str(len(tests)))
    return made


def verdicts(found: dict[tuple[str, str], list[RunResult]]) -> dict[str, dict[str, float]]:
    """Return for each task how grown networks compare with those of the depth that they kept."""
    made = {}
    for (task, name), grown in found.items():
        separate = [r for (t, n), r in found.items() if t == task and n.startswith("at once")]
        if name.startswith("grown"):
            made[f"{task}, {name}"] = _verdict(grown, list(zip(*separate, strict=True)))
    return made


def _verdict(grown: list[RunResult], separate: list[tuple[RunResult, ...]]) -> dict[str, float]:
    """Compare seed by seed: accuracy at the kept depth, and the cost against all depths."""
    ours = [100 * one.test_scores[-1] for one in grown]
    theirs = [
        100 * _of_depth(runs, len(one.test_scores))
        for one, runs in zip(grown, separate, strict=True)
    ]
    costs = [
        layer_epochs(one) / sum(map(layer_epochs, runs))
        for one, runs in zip(grown, separate, strict=True)
    ]
    return {
        "grown": round(statistics.mean(ours), 2),
        "at_once": round(statistics.mean(theirs), 2),
        "deviation_at_once": round(_deviation(theirs), 2),
        "cost_over_all_depths": round(statistics.mean(costs), 3),
    }


def _of_depth(runs: tuple[RunResult, ...], depth: int) -> float:
    """Return the score of the smallest network that has this depth, at this depth."""
    fitting = [run for run in runs if len(run.test_scores) >= depth]
    return min(fitting, key=lambda run: len(run.test_scores)).test_scores[depth - 1]


def layer_epochs(result: RunResult) -> int:
    """Return how many layers computed, epoch by epoch: the cost that no other program disturbs.

    A frozen layer counts like one that trains, though it costs about a third.
    """
    return sum(len(scores) for scores in result.validation_curve)


def _deviation(values: list[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


def _spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.2f} ± {_deviation(values):.2f}"


def main() -> None:
    """Train what is not trained, print a table, and one line of JSON last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", help="folder with NAME/SPLIT.parquet; else the hub")
    parser.add_argument("--runs", type=Path, default=Path("runs/growth"))
    parser.add_argument("--ledger", type=Path, help="append a row of every run to this file")
    parser.add_argument("--samples", type=int, default=10_000, help="training samples")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", choices=TASKS, nargs="+", default=list(TASKS))
    arguments = parser.parse_args()
    found = all_runs(arguments)
    Console(width=120).print(table(found))
    print(json.dumps({"n": arguments.seeds, **verdicts(found)}))


if __name__ == "__main__":
    main()

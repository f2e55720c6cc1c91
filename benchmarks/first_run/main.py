"""Does a newcomer's first run succeed, by AL as by BP, with all defaults?

Run: ``python benchmarks/first_run/main.py --data-root DATA``. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sets import SETS, TUNED, FirstRun

from associated_learning.runs.inputs import load_data
from associated_learning.runs.result import RunResult
from associated_learning.runs.run import train_run
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.settings.resolved import resolved
from associated_learning.training.progress_bar import ProgressBar
from associated_learning.verification.memory import keep_freed_memory

METHODS = ("al", "bp")
Accuracies = dict[str, dict[str, list[float]]]


def main() -> None:
    """Train what is not trained, print a table, and one line of JSON last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", help="folder with NAME/SPLIT.parquet; else the hub")
    parser.add_argument("--runs", type=Path, default=Path("runs/first_run"), help="trained runs")
    parser.add_argument("--only", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="intra-op threads of torch")
    parser.add_argument("--association", help="of AL, in the place of its default")
    arguments = parser.parse_args()
    keep_freed_memory()
    found: Accuracies = {name: {method: [] for method in METHODS} for name in arguments.only}
    largest: dict[str, float] = {}
    commits: set[str] = set()
    for seed in range(arguments.seeds):  # so that a part of them says something of all sets
        for name in arguments.only:
            for method in METHODS:
                config = _config(name, method, seed, arguments)
                other = config.association and f"-{config.association}"
                folder = arguments.runs / f"{_slug(name)}-{method}-{seed}{other or ''}"
                result = train_run(config, folder, callbacks=[ProgressBar(f"{name} {method}")])
                found[name][method].append(_accuracy(result))
                commits.add(result.commit)  # of the training, which a finished run does not repeat
            largest.setdefault(name, _largest_class(_config(name, "al", 0, arguments)))
    Console(width=100).print(_table(found, largest))
    print(json.dumps({**_summary(found, largest, arguments.seeds), "trained": sorted(commits)}))


def _config(name: str, method: str, seed: int, arguments: argparse.Namespace) -> RunConfig:
    """Return what ``al train --data ... --model ... --method ... --seed ...`` trains."""
    first: FirstRun = SETS[name]
    settings: dict[str, Any] = {"data": first.named, "limit_train": first.limit}
    if first.write is not None:
        folder = arguments.runs / "data" / _slug(name)
        if not (folder / "written").exists():
            folder.mkdir(parents=True, exist_ok=True)
            first.write(folder, arguments.data_root)
            (folder / "written").touch()
        kind = ".csv" if (folder / "train.csv").exists() else ""
        settings = {
            "data": str(folder / f"train{kind}"),
            "test_data": str(folder / f"test{kind}"),
        }
    else:
        settings["data_root"] = arguments.data_root
    if method == "al":
        settings["association"] = arguments.association
    return RunConfig(
        model=first.model, method=method, seed=seed, threads=arguments.threads, **settings
    )


def _slug(name: str) -> str:
    return name.replace(" ", "_").replace(",", "")


def _accuracy(result: RunResult) -> float:
    """Return the test accuracy at the depth that was best on the validation data, in percent."""
    assert result.best_depth is not None
    return 100 * result.test_scores[result.best_depth - 1]


def _largest_class(config: RunConfig) -> float:
    """Return the share of the test data that are of the most frequent training class."""
    data = load_data(resolved(config))
    most = int(data.train.labels.bincount().argmax())
    return 100 * float((data.test.labels == most).double().mean())


def _table(found: Accuracies, largest: Mapping[str, float]) -> Table:
    table = Table(title="Test accuracy in %, mean over seeds")
    for heading in ("set", "model", "largest class", "AL", "BP", "AL - BP"):
        left = heading in ("set", "model")
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for name, of_methods in found.items():
        al, bp = (statistics.mean(of_methods[method]) for method in METHODS)
        table.add_row(
            name,
            SETS[name].model,
            f"{largest[name]:.1f}",
            f"{al:.1f}",
            f"{bp:.1f}",
            f"{al - bp:+.1f}",
            end_section=name == TUNED[-1],
        )
    return table


def _summary(found: Accuracies, largest: Mapping[str, float], seeds: int) -> dict[str, Any]:
    """Return how many sets, the share where AL beats the largest class, and how far BP is ahead."""
    means = {
        name: {method: statistics.mean(values) for method, values in of_methods.items()}
        for name, of_methods in found.items()
    }
    behind = [of_methods["bp"] - of_methods["al"] for of_methods in means.values()]
    above = [means[name]["al"] > largest[name] for name in means]
    return {
        "sets": len(means),
        "above_majority": sum(above) / len(above),
        "behind_bp": {"mean": round(statistics.mean(behind), 2), "worst": round(max(behind), 2)},
        "seeds": seeds,
        "accuracies": {
            name: {method: [round(value, 4) for value in values] for method, values in both.items()}
            for name, both in found.items()
        },
    }


if __name__ == "__main__":
    main()

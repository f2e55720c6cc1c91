"""What does the exact pipeline gain on two cores, and against the pipelines for backpropagation?

Run: ``python benchmarks/pipeline/main.py``. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # timing.py serves several

from contest import CONTESTANTS, Contest, Settings, hold
from figures import numbers, stage_table, table
from networks import NETWORKS
from rich.console import Console


def main() -> None:
    """Print two tables for each network, and as the last line the medians in JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100, help="weight updates of a run")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="short runs, to try it out")
    parser.add_argument("--only", choices=NETWORKS, nargs="+", default=list(NETWORKS))
    parser.add_argument(
        "--contestants",
        choices=CONTESTANTS,
        nargs="+",
        default=list(CONTESTANTS),
        help="who takes part; AL in one thread always does",
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    settings = Settings(
        steps=8 if arguments.quick else arguments.steps,
        rounds=2 if arguments.quick else arguments.rounds,
        trial_steps=3 if arguments.quick else 8,
        names=list(dict.fromkeys(["al", *arguments.contestants])),
    )
    console, found = Console(width=110), dict[str, Contest]()
    for name in arguments.only:
        found[name] = hold(name, settings)
        console.print(table(name, found[name], settings), stage_table(name, found[name]))
    print(json.dumps({**numbers(found), "n": settings.rounds, "steps": settings.steps}))


if __name__ == "__main__":
    main()

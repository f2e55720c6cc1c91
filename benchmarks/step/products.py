"""What do float32 products by oneDNN save on a processor of AMD, for AL and backpropagation?

Run: ``python benchmarks/step/products.py``. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))  # timing.py and others serve several

from multiplying import MKL, ONEDNN, multiplying
from networks import PAIRS
from timing import CLOCKS, Spread, alternate, ratios
from update import training_step

from associated_learning.runs.folder.provenance import describe_hardware
from associated_learning.tensors.float32_products import use_fast_products
from associated_learning.verification.memory import keep_freed_memory

NETWORKS = tuple(name for name in PAIRS if "as printed" not in name)


def measure(network: str, rounds: int, clock: str) -> dict[str, Spread]:
    """Return the ratios of one network: fast over usual by method, AL over BP by library."""
    torch.manual_seed(0)
    pair = PAIRS[network]()
    steps = {
        "AL": training_step(pair.al, pair.x, pair.y),
        "BP": training_step(pair.bp, pair.x, pair.y),
    }
    seconds = alternate(
        {
            f"{method}, {name}": multiplying(library, step)
            for method, step in steps.items()
            for name, library in (("usual", MKL), ("fast", ONEDNN))
        },
        rounds=rounds,
        clock=CLOCKS[clock],
    )
    return {
        "AL, fast over usual": ratios(seconds["AL, fast"], seconds["AL, usual"]),
        "BP, fast over usual": ratios(seconds["BP, fast"], seconds["BP, usual"]),
        "AL over BP, usual": ratios(seconds["AL, usual"], seconds["BP, usual"]),
        "AL over BP, fast": ratios(seconds["AL, fast"], seconds["BP, fast"]),
    }


def main() -> None:
    """Print a table, and as the last line the medians in JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1, help="intra-op threads of torch")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--only", choices=PAIRS, nargs="+", default=list(NETWORKS))
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    if not use_fast_products():
        parser.error("oneDNN is not faster, or not as exact, on this processor")
    keep_freed_memory()
    found = {name: measure(name, asked.rounds, asked.clock) for name in asked.only}
    table = Table("network", *next(iter(found.values())), title="One training step")
    for name, ratio in found.items():
        table.add_row(name, *map(str, ratio.values()))
    Console(width=150).print(table)
    medians = {
        name: {key: round(one.median, 3) for key, one in ratio.items()}
        for name, ratio in found.items()
    }
    settings = {"n": asked.rounds, "threads": asked.threads, "clock": asked.clock}
    print(json.dumps({"ratios": medians, **settings, "hardware": describe_hardware()}))


if __name__ == "__main__":
    main()

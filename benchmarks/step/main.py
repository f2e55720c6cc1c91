"""How long does one training step of AL take against one of backpropagation?

Run: ``python benchmarks/step/main.py``. See README.md beside this file.
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

from networks import PAIRS
from timing import CLOCKS, Spread, alternate, ratios, spread
from update import training_step

from associated_learning.runs.folder.provenance import describe_hardware
from associated_learning.verification.memory import keep_freed_memory


def measure(name: str, rounds: int, clock: str, device: str) -> tuple[Spread, Spread, Spread]:
    """Return AL's milliseconds a step, backpropagation's, and AL's over backpropagation's."""
    torch.manual_seed(0)
    pair = PAIRS[name]().to(device)
    seconds = alternate(
        {
            "al": training_step(pair.al, pair.x, pair.y),
            "bp": training_step(pair.bp, pair.x, pair.y),
        },
        rounds=rounds,
        clock=CLOCKS[clock],
    )
    by_net = [spread([1e3 * value for value in seconds[key]]) for key in ("al", "bp")]
    return by_net[0], by_net[1], ratios(seconds["al"], seconds["bp"])


def main() -> None:
    """Print a table, and as the last line the medians of AL over BP in JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2, help="intra-op threads of torch")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument(
        "--plain-malloc", action="store_true", help="leave the allocator as the system has it"
    )
    parser.add_argument("--only", choices=PAIRS, nargs="+", default=list(PAIRS))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if not arguments.plain_malloc:
        keep_freed_memory()
    found = {
        name: measure(name, arguments.rounds, arguments.clock, arguments.device)
        for name in arguments.only
    }
    table = Table("network", "AL, ms", "BP, ms", "AL / BP", "n", title="One training step")
    for name, (ours, theirs, ratio) in found.items():
        table.add_row(name, str(ours), str(theirs), str(ratio), str(ratio.n))
    Console(width=100).print(table)
    medians = {name: round(ratio.median, 3) for name, (_, _, ratio) in found.items()}
    settings = {"n": arguments.rounds, "threads": arguments.threads, "clock": arguments.clock}
    settings["hardware"] = describe_hardware(arguments.device)
    settings["plain_malloc"] = arguments.plain_malloc
    print(json.dumps({"al_over_bp": medians, **settings}))


if __name__ == "__main__":
    main()

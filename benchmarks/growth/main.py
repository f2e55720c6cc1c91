"""What does another layer cost: from stored activations, and as one of four variants?

Run: ``python benchmarks/growth/main.py --data-root DATA``. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))  # timing.py serves several

from timing import Spread, ratios, spread

import associated_learning as al
from associated_learning.data.batches import Batches
from associated_learning.runs.inputs import input_spec, load_data, training_batches
from associated_learning.runs.networks.families import build_network
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.settings.resolved import resolved
from associated_learning.state.optimizers import make_optimizers
from associated_learning.training.growth.activation_cache.making import cache_activations
from associated_learning.training.growth.activation_cache.upper_layers import UpperLayers
from associated_learning.training.growth.branches import BranchedNetwork
from associated_learning.update import update_layer
from associated_learning.verification.memory import keep_freed_memory

TASKS = {
    "cnn": {"data": "fashion_mnist", "model": "cnn", "association": "squared"},
    "bilstm": {"data": "sst2", "model": "bilstm"},
    "transformer": {"data": "ag_news", "model": "transformer", "max_length": 64},
}
VARIANTS = 4
LR = 1e-3


class Costs(NamedTuple):
    """Seconds of an epoch, one value a round.

    Attributes:
        layers: Of each layer's updates alone, where the whole network trains.
        whole: Of training the whole network.
        cached: Of training layer 2, 3, ... from stored activations.
        frozen: Of training it above frozen layers that compute.
        branched: Of training all but the last layer, and so many variants of the last.
        filling: Of storing the activations below layer 2, 3, ..., once.
    """

    layers: list[list[float]]
    whole: list[float]
    cached: list[list[float]]
    frozen: list[list[float]]
    branched: list[float]
    filling: list[float]


def task(name: str, root: str | None, samples: int) -> tuple[al.ALNetwork, Batches]:
    """Return the network of a task and its training batches."""
    config = resolved(RunConfig(data_root=root, limit_train=samples, preset="paper", **TASKS[name]))
    data = load_data(config)
    net = build_network(config, input_spec(config, data, None))
    assert isinstance(net, al.ALNetwork)
    return net, training_batches(config, data)


def measure(net: al.ALNetwork, train: Batches, rounds: int, folder: Path) -> Costs:
    """Measure a task, all contestants in turn."""
    depths = range(2, net.num_layers + 1)
    cached, frozen, filling = [], [], []
    for depth in depths:
        upper, lower = (_frozen(net, depth) for _ in range(2))
        begin = time.perf_counter()
        cache = cache_activations(upper, depth - 1, folder / str(depth), train)
        filling.append(time.perf_counter() - begin)
        cached.append(_epoch(UpperLayers(upper, depth - 1), cache.batches(train)))
        frozen.append(_epoch(lower, train))
    trunk = copy.deepcopy(net)
    trunk.truncate(net.num_layers - 1)
    tops = {f"v{i}": copy.deepcopy(net.al_layers()[-1]) for i in range(VARIANTS)}
    contestants = [*cached, *frozen, _epoch(copy.deepcopy(net), train),
                   _epoch(BranchedNetwork(trunk, tops), train)]  # fmt: skip
    layers = _layers(copy.deepcopy(net), train)
    found: list[list[float]] = []
    alone: list[list[float]] = []
    for number in range(1 + rounds):
        row = [contestant() for contestant in contestants]
        own = layers()
        if number:  # the first one warms up
            found.append(row)
            alone.append(own)
    columns = [list(column) for column in zip(*found, strict=True)]
    count = len(depths)
    whole, branched = columns[2 * count :]
    return Costs(
        [list(column) for column in zip(*alone, strict=True)],
        whole,
        columns[:count],
        columns[count : 2 * count],
        branched,
        filling,
    )


def _frozen(net: al.ALNetwork, depth: int) -> al.ALNetwork:
    """Return a copy with so many layers, all but the top one frozen."""
    made = copy.deepcopy(net)
    made.truncate(depth)
    made.layers[: depth - 1].requires_grad_(False)
    return made


def _epoch(net: al.Network, source: al.BatchSource) -> Callable[[], float]:
    """Return a function that trains for an epoch and returns its seconds."""

    def train() -> float:
        begin = time.perf_counter()
        al.Trainer(epochs=1, lr=LR, seed=0, executor="sequential").fit(net, source)
        return time.perf_counter() - begin

    return train


def _layers(net: al.ALNetwork, train: Batches) -> Callable[[], list[float]]:
    """Return a function that trains for an epoch and returns the seconds of each layer."""
    blocks = net.blocks()
    optimizers = make_optimizers(blocks, torch.optim.Adam, lr=LR)

    def run() -> list[float]:
        net.train()
        seconds = [0.0] * len(blocks)
        for step, (x, y) in enumerate(train.epoch(0)):
            s, t = x, net.target.encode(y)
            for i, (block, optimizer) in enumerate(zip(blocks, optimizers, strict=True)):
                begin = time.perf_counter()
                s, t, _ = update_layer(block, optimizer, s, t, number=i + 1, step=step)
                seconds[i] += time.perf_counter() - begin
        return seconds

    return run


def promised(costs: Costs) -> list[float]:
    """Return what branches should cost: the trunk, and the last layer so many times."""
    return [sum(times[:-1]) + VARIANTS * times[-1] for times in zip(*costs.layers, strict=True)]


def cache_table(found: dict[str, Costs]) -> Table:
    """Return what a layer costs above frozen ones."""
    table = Table("network", "layer", "own time, s", "from the cache", "without cache", "filling",
                  title="An epoch of one layer above frozen ones, over its own time")  # fmt: skip
    for name, costs in found.items():
        for i, (cached, frozen) in enumerate(zip(costs.cached, costs.frozen, strict=True)):
            own = costs.layers[i + 1]
            filling = costs.filling[i] / spread(own).median
            shares = [str(ratios(column, own)) for column in (cached, frozen)]
            table.add_row(name, str(i + 2), str(spread(own)), *shares, f"{filling:.2f}")
    return table


def branch_table(found: dict[str, Costs]) -> Table:
    """Return what four variants of the last layer cost."""
    table = Table("network", "branches, s", "over trunk + 4 layers", "four runs over branches",
                  title=f"An epoch of {VARIANTS} variants of the last layer")  # fmt: skip
    for name, costs in found.items():
        table.add_row(name, str(spread(costs.branched)), *map(str, _of_branches(costs)))
    return table


def _of_branches(costs: Costs) -> tuple[Spread, Spread]:
    separate = [VARIANTS * seconds for seconds in costs.whole]
    return ratios(costs.branched, promised(costs)), ratios(separate, costs.branched)


def main() -> None:
    """Print two tables, and one line of JSON last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", help="folder with NAME/SPLIT.parquet; else the hub")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--only", choices=TASKS, nargs="+", default=list(TASKS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    found = {}
    for name in arguments.only:
        net, train = task(name, arguments.data_root, arguments.samples)
        with tempfile.TemporaryDirectory() as folder:
            found[name] = measure(net, train, arguments.rounds, Path(folder))
    for table in (cache_table(found), branch_table(found)):
        Console(width=120).print(table)
    print(json.dumps(_medians(found, arguments.rounds)))


def _medians(found: dict[str, Costs], rounds: int) -> dict[str, object]:
    cached = {
        name: [
            round(ratios(column, costs.layers[i + 1]).median, 3)
            for i, column in enumerate(costs.cached)
        ]
        for name, costs in found.items()
    }
    branched = {name: _of_branches(costs) for name, costs in found.items()}
    return {
        "cached_over_own_time": cached,
        "branches_over_promise": {name: round(a.median, 3) for name, (a, _) in branched.items()},
        "separate_over_branches": {name: round(b.median, 3) for name, (_, b) in branched.items()},
        "n": rounds,
    }


if __name__ == "__main__":
    main()

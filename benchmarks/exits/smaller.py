"""Early exit beside its true rivals: smaller networks, each trained by backpropagation.

Run: ``python benchmarks/exits/smaller.py --data-root DATA``. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

import associated_learning as al
from associated_learning import models
from associated_learning.inference.exits.costs import DepthCosts, depth_flops
from associated_learning.inference.exits.goals import AccuracyGoal, tune
from associated_learning.inference.exits.record import record_exits
from associated_learning.runs.inputs import (
    RunInputs,
    evaluation_batches,
    read_inputs,
    training_batches,
)
from associated_learning.runs.networks.families import build_network
from associated_learning.runs.settings.config import ResolvedConfig, RunConfig
from associated_learning.runs.settings.resolved import resolved

RATES = (5e-4, 1e-3, 2e-3)  # tried by every network alike, on seed 0 and the validation data
LOST = 0.002  # of accuracy on the validation data, which a cheaper answer may cost
SETTINGS: dict[str, dict[str, Any]] = {
    "fashion_mnist-cnn": {"limit_train": 3000, "batch_size": 128, "validation_fraction": 0.04},
    "ag_news-transformer": {"limit_train": 3000, "batch_size": 64, "validation_fraction": 0.03},
}


class Trained(NamedTuple):
    """A network that was trained.

    Attributes:
        net: With the weights of its best epoch.
        validation: Accuracy of its last exit on the validation data.
    """

    net: al.Network
    validation: float


class Trial:
    """One data set, model and seed.

    Args:
        name: A key of `SETTINGS`.
        seed: Of the weights and the order of samples.
        places: Where data and word vectors are.
    """

    def __init__(self, name: str, seed: int, places: dict[str, Any]) -> None:
        data, _, model = name.rpartition("-")
        vectors = places["vectors"] if model == "transformer" else None
        self.config: ResolvedConfig = resolved(
            RunConfig(
                data=data, model=model, method="al", seed=seed, threads=1, epochs=10,
                data_root=places["data_root"], vectors=vectors, **SETTINGS[name],
            )
        )  # fmt: skip
        self.inputs: RunInputs = read_inputs(self.config)
        self.x = self.inputs.data.test.take(torch.arange(256))

    def associated(self) -> al.ALNetwork:
        """Return an AL network that learned nothing yet."""
        net = build_network(self.config, self.inputs.spec, self.inputs.weights)
        assert isinstance(net, al.ALNetwork)
        return net

    def smaller(self, depth: int) -> al.BPNetwork:
        """Return its first encoders and their readout under a linear head, to be trained by BP."""
        net = self.associated()
        layers = net.al_layers()[:depth]
        bridge = next(one for one in layers[-1].b.modules() if isinstance(one, nn.Linear))
        head = nn.Linear(bridge.in_features, net.target.size)
        encoders = [layer.f for layer in layers]
        return al.BPNetwork(models.LayeredModel(encoders, layers[-1].readout, head), net.target)

    def train(self, make: Callable[[], al.Network], rate: float) -> Trained:
        """Train a fresh network until its validation loss has stood still for three epochs."""
        net = make()
        data, config = self.inputs.data, self.config
        validation = evaluation_batches(config, data, "validation")
        trainer = al.Trainer(
            epochs=config.epochs,
            lr=rate,
            patience=3,
            seed=config.seed,
            clip=config.clip or None,
        )
        trainer.fit(net, training_batches(config, data), validation)
        return Trained(net, al.evaluate(net, validation.epoch(0)).scores[-1])

    def accuracies(self, net: al.Network) -> tuple[float, ...]:
        """Return the test accuracy at every depth."""
        test = evaluation_batches(self.config, self.inputs.data, "test").epoch(0)
        return tuple(al.evaluate(net, test).scores)

    def early(self, net: al.ALNetwork, costs: DepthCosts) -> tuple[float, float]:
        """Return accuracy and cost of early exit on the test data, by validation's thresholds."""
        config, data = self.config, self.inputs.data
        known, asked = (
            record_exits(net, evaluation_batches(config, data, split).epoch(0))  # type: ignore[arg-type]
            for split in ("validation", "test")
        )
        found = asked.outcome(tune(known, AccuracyGoal(LOST), costs).policy, costs)
        return found.accuracy, found.cost


def best_rate(trial: Trial, make: Callable[[], al.Network]) -> tuple[float, Trained]:
    """Return the rate with which a network is best on the validation data, and that network."""
    tried = {rate: trial.train(make, rate) for rate in RATES}
    rate = max(tried, key=lambda one: tried[one].validation)
    return rate, tried[rate]


def run(name: str, seeds: int, places: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one dictionary of figures for each seed."""
    rates: dict[str, float] = {}
    found = []
    for seed in range(seeds):
        begin, trial = time.perf_counter(), Trial(name, seed, places)
        depth = trial.associated().num_layers
        makers: dict[str, Callable[[], al.Network]] = {"al": trial.associated}
        makers |= {f"bp {k}": partial(trial.smaller, k) for k in range(1, depth + 1)}
        trained = {}
        for method, make in makers.items():
            if seed == 0:
                rates[method], trained[method] = best_rate(trial, make)
            else:
                trained[method] = trial.train(make, rates[method])
        found.append(_figures(trial, trained, depth) | {"rates": rates})
        print(f"{name}, seed {seed}, {time.perf_counter() - begin:.0f} s: {found[-1]}", flush=True)
    return found


def _figures(trial: Trial, trained: dict[str, Trained], depth: int) -> dict[str, Any]:
    net = trained["al"].net
    assert isinstance(net, al.ALNetwork)
    costs = depth_flops(net, trial.x)
    shares = [one / costs.prefixes[-1] for one in costs.prefixes]
    accuracy, cost = trial.early(net, costs)
    smaller = [trained[f"bp {k}"] for k in range(1, depth + 1)]
    enough = smaller[-1].validation - LOST
    chosen = next(k for k, one in enumerate(smaller) if one.validation >= enough)
    tests = [trial.accuracies(one.net)[-1] for one in smaller]
    return {
        "shares": shares,
        "al": trial.accuracies(net),
        "bp": tests,
        "early_exit": {"accuracy": accuracy, "cost": cost},
        "smaller_bp": {"accuracy": tests[chosen], "cost": shares[chosen], "depth": chosen + 1},
    }


def table_of(name: str, found: list[dict[str, Any]]) -> Table:
    """Return the figures of a data set as a table: means over seeds."""
    table = Table(title=f"{name}: test accuracy in percent, cost as a share of full depth")
    for heading in ("answer", "accuracy", "cost"):
        table.add_column(heading, justify="left" if heading == "answer" else "right")

    def add(what: str, accuracies: list[float], costs: list[float]) -> None:
        spread = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0
        mean = statistics.mean(accuracies)
        table.add_row(
            what, f"{100 * mean:.2f} ± {100 * spread:.2f}", f"{statistics.mean(costs):.2f}"
        )

    for k in range(len(found[0]["bp"])):
        costs = [one["shares"][k] for one in found]
        add(f"BP, network of {k + 1} layers", [one["bp"][k] for one in found], costs)
        add(f"AL, exit {k + 1}", [one["al"][k] for one in found], costs)
    for key, what in (
        ("early_exit", "AL, early exit"),
        ("smaller_bp", "BP, the smallest within 0.2 points"),
    ):
        add(what, *([one[key][part] for one in found] for part in ("accuracy", "cost")))
    return table


def main() -> None:
    """Train, print a table for each set, and one line of JSON last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", help="folder with NAME/SPLIT.parquet; else the hub")
    parser.add_argument("--vectors", help="word vectors for the texts, such as GloVe's")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    places = {"data_root": arguments.data_root, "vectors": arguments.vectors}
    found = {name: run(name, arguments.seeds, places) for name in arguments.only}
    for name, figures in found.items():
        Console(width=100).print(table_of(name, figures))
    print(json.dumps(found))


if __name__ == "__main__":
    main()

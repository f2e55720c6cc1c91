"""What do layers in isolation reach by each local loss, beside BP of the same encoders?

Run: ``python benchmarks/local_losses/main.py --data-root DATA``. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import associated_learning as al
from associated_learning.data import load
from associated_learning.data.batches import Batches
from associated_learning.data.dataset import DataSet
from associated_learning.data.vectors import load_vectors
from associated_learning.models import BiLSTM, LayeredModel, MaskedMean
from associated_learning.runs.folder.provenance import describe_hardware, find_provenance
from associated_learning.state.files import write_json
from associated_learning.training.length import warm_cosine

RATES = (2e-3, 4e-3, 8e-3, 16e-3)  # as many for every method
METHODS: dict[str, dict[str, Any]] = {
    "bp": {},
    "squared": {"association": "squared"},
    "contrast": {"association": "contrast"},
    "ce": {"association": "ce"},
    "predsim": {"association": "predsim"},
    "scpl": {"association": "scpl"},
    "squared, block": {"association": "squared", "bridge": "block"},
    "contrast, block": {"association": "contrast", "bridge": "block"},
}


class Trial(NamedTuple):
    """One training: everything that its result depends on."""

    method: str
    rate: float
    seed: int


class Texts(NamedTuple):
    """Sentences, and vectors ``[V, D]`` of their words, if any are given."""

    data: DataSet
    vectors: Tensor | None


def main() -> None:
    """Train what is not trained yet, print a table and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", help="folder with NAME/SPLIT.parquet; else the hub")
    parser.add_argument("--vectors", help="word vectors in GloVe's text format; fresh ones if none")
    parser.add_argument("--runs", type=Path, default=Path("runs/local_losses"), help="finished")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=3000, help="sentences to train on")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--layers", type=int, default=2, help="recurrent ones above the embedding")
    parser.add_argument("--threads", type=int, default=1, help="intra-op threads of torch")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    sets = {seed: _data(arguments, seed) for seed in range(arguments.seeds)}
    found = {method: results(method, sets, arguments) for method in arguments.methods}
    Console(width=110).print(table(found))
    about = {key: getattr(arguments, key) for key in ("seeds", "samples", "epochs", "layers")}
    where = {"hardware": describe_hardware("cpu"), "commit": find_provenance().commit}
    print(
        json.dumps(
            {**found, **about, "vectors": arguments.vectors is not None, "rates": RATES, **where}
        )
    )


def _data(arguments: argparse.Namespace, seed: int) -> Texts:
    """Return the data of a seed, which chooses the sentences to train on."""
    data = load(
        "sst2",
        data_root=arguments.data_root,
        limit_train=arguments.samples,
        max_length=40,
        validation_fraction=0.03,
        seed=seed,
    )
    if arguments.vectors is None:
        return Texts(data, None)
    vocabulary = data.preprocessor.vocabulary  # type: ignore[union-attr]
    return Texts(data, load_vectors(arguments.vectors, vocabulary).weights)


def results(method: str, sets: dict[int, Texts], arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what a method reaches: its rate chosen by validation on the first seed."""
    tried = {rate: trained(Trial(method, rate, 0), sets[0], arguments) for rate in RATES}
    best = max(RATES, key=lambda rate: tried[rate]["validation"][-1])
    trials = [trained(Trial(method, best, seed), sets[seed], arguments) for seed in sets]
    exits = zip(*(trial["test"] for trial in trials), strict=True)
    means = [round(100 * statistics.mean(depth), 2) for depth in exits]
    last = [100 * trial["test"][-1] for trial in trials]
    return {
        "mean": means[-1],
        "deviation": round(statistics.stdev(last), 2) if len(last) > 1 else None,
        "exits": means,
        "rate": best,
        "at_edge": best in (RATES[0], RATES[-1]),
        "updates": trials[0]["updates"],
        "seconds": round(statistics.mean(trial["seconds"] for trial in trials), 1),
    }


def trained(trial: Trial, texts: Texts, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train one network, unless it was done before; return the accuracy of every exit."""
    given = "given" if arguments.vectors else "fresh"
    size = f"{given}-{arguments.samples}-{arguments.epochs}-{arguments.layers}"
    name = trial.method.replace(", ", "-")
    file = arguments.runs / f"{name}-{trial.rate:g}-{trial.seed}-{size}.json"
    if file.exists():
        done: dict[str, Any] = json.loads(file.read_text())
        return done
    data = texts.data
    batches = Batches(samples=data.train, batch_size=32, seed=trial.seed)
    x, _ = next(batches.epoch(0))
    net = network(trial.method, x, texts, arguments.layers, trial.seed)
    schedule = warm_cosine(arguments.epochs, len(batches))
    begin = time.process_time()
    trainer = al.Trainer(
        epochs=arguments.epochs, lr=trial.rate, clip=1.0, seed=trial.seed, **schedule
    )
    trainer.fit(net, batches)
    seconds = time.process_time() - begin
    result = {
        "validation": _scores(net, data.validation),
        "test": _scores(net, data.test),
        "updates": arguments.epochs * len(batches),
        "seconds": round(seconds, 1),
    }
    arguments.runs.mkdir(parents=True, exist_ok=True)
    write_json(file, result)
    print(file.name, result, flush=True)
    return result


def _scores(net: al.Network, samples: Any) -> list[float]:
    return al.evaluate(net, Batches(samples=samples, batch_size=128, shuffle=False).epoch(0)).scores


def network(method: str, x: Any, texts: Texts, layers: int, seed: int) -> al.Network:
    """Return a network; the encoders of all methods begin with the same weights.

    Args:
        method: One of `METHODS`.
        x: A batch.
        texts: What it is trained on.
        layers: Number of recurrent layers.
        seed: Of the weights.
    """
    torch.manual_seed(seed)
    data, hidden, target = texts.data, 64, al.Classes(texts.data.num_classes)
    encoders = BiLSTM(
        vocabulary_size=len(data.preprocessor.vocabulary),  # type: ignore[union-attr]
        embedding_dim=100 if texts.vectors is None else texts.vectors.shape[1],
        hidden=hidden,
        num_layers=layers,
        out_features=target.size,
        weights=texts.vectors,
    ).layers
    if method == "bp":
        head = nn.Linear(2 * hidden, target.size)
        return al.BPNetwork(LayeredModel(encoders, MaskedMean(), head), target)
    return al.al_form(encoders, x, target, **METHODS[method])


def table(found: dict[str, dict[str, Any]]) -> Table:
    """Return a table of what every method reaches."""
    made = Table("method", "test, %", "each exit", "rate", "edge", "CPU s")
    for method, one in found.items():
        spread = "" if one["deviation"] is None else f" ± {one['deviation']:.2f}"
        exits = ", ".join(f"{value:.1f}" for value in one["exits"])
        edge = "yes" if one["at_edge"] else ""
        rate, seconds = f"{one['rate']:g}", str(one["seconds"])
        made.add_row(method, f"{one['mean']:.2f}{spread}", exits, rate, edge, seconds)
    return made


if __name__ == "__main__":
    main()

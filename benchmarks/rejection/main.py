"""Does the distance to the nearest label tell strange inputs and wrong labels?

Run: ``python benchmarks/rejection/main.py --data-root DATA``. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from sklearn.metrics import roc_auc_score
from torch import Tensor

from associated_learning.data import DataSet
from associated_learning.data.batches import Batches
from associated_learning.inference.exits.record import record_exits
from associated_learning.inference.exits.rejection import label_doubt, novelty
from associated_learning.runs.exits.early_exit import al_network
from associated_learning.runs.folder.open_run import OpenRun, open_run
from associated_learning.runs.inputs import evaluation_batches, load_data
from associated_learning.runs.result import read_result
from associated_learning.runs.run import train_run
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.settings.resolved import resolved
from associated_learning.training.progress_bar import ProgressBar

STRANGERS = ("digits", "cifar10")
MEASURES = ("prototype", "probability")
SETTINGS = {"data": "fashion_mnist", "model": "cnn", "lr": 1e-3, "limit_train": 10_000,
            "epochs": 5, "schedule": "constant", "patience": 0, "threads": 1,
            "association": "squared"}  # fmt: skip


def main() -> None:
    """Train what is not trained, print two tables, and one line of JSON last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", help="folder with NAME/SPLIT.parquet; else the hub")
    parser.add_argument("--runs", type=Path, default=Path("runs/rejection"))
    parser.add_argument("--noise", type=float, default=0.2, help="share of labels drawn anew")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    strange: dict[str, list[float]] = {}
    wrong: dict[str, list[float]] = {}
    for seed in range(arguments.seeds):
        clean, noisy = (_trained(arguments, seed, noise) for noise in (0.0, arguments.noise))
        _add(strange, _strange(clean, arguments.data_root))
        _add(wrong, _wrong(noisy, arguments.data_root))
    for title, found in (("Strange inputs found", strange), ("Wrong labels found", wrong)):
        Console(width=120).print(_table(title, found))
    print(json.dumps({"n": arguments.seeds, "strange": strange, "wrong": wrong}))


def _trained(arguments: argparse.Namespace, seed: int, noise: float) -> OpenRun:
    folder = arguments.runs / f"noise-{noise}-{seed}"
    if read_result(folder) is None:
        config = RunConfig(  # type: ignore[arg-type]
            data_root=arguments.data_root,
            seed=seed,
            label_noise=noise,
            preset="paper",
            **SETTINGS,
        )
        train_run(config, folder, callbacks=[ProgressBar(f"noise {noise}, seed {seed}")])
    return open_run(folder)


def _strange(opened: OpenRun, data_root: str | None) -> dict[str, float]:
    """Return the AUROC of telling other images from the test images, by set and measure."""
    config = replace(opened.config, data_root=data_root)
    net = al_network(opened)
    own = record_exits(net, evaluation_batches(config, load_data(config), "test").epoch(0))
    found = {}
    for name in STRANGERS:
        other = record_exits(net, _stranger(name, opened, data_root))
        for measure in MEASURES:
            for depth in range(1, own.depth + 1):
                scores = [novelty(r, measure=measure, depth=depth) for r in (own, other)]
                auroc = _auroc(torch.cat(scores), [len(part) for part in scores])
                found[f"{name}, {measure}, depth {depth}"] = auroc
    return found


def _stranger(name: str, opened: OpenRun, data_root: str | None) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the test images of another set as the network is given its own: grey, of one size."""
    data = load_data(resolved(RunConfig(data=name, data_root=data_root)))
    size = opened.spec.shape[1:]
    theirs, ours = (one.to_dict() for one in (data.preprocessor, opened.preprocessor))
    for x, y in Batches(samples=data.test, batch_size=256, shuffle=False).epoch(0):
        grey = (x * _channels(theirs["std"]) + _channels(theirs["mean"])).mean(dim=1, keepdim=True)
        grey = F.interpolate(grey, size, mode="bilinear", antialias=True)
        yield (grey - _channels(ours["mean"])) / _channels(ours["std"]), torch.zeros_like(y)


def _channels(values: list[float]) -> Tensor:
    return torch.tensor(values)[:, None, None]


def _wrong(opened: OpenRun, data_root: str | None) -> dict[str, float]:
    """Return the AUROC of telling training labels that were changed from the others."""
    config = replace(opened.config, data_root=data_root)
    noisy, clean = load_data(config), load_data(replace(config, label_noise=0.0))
    flipped = _labels(noisy) != _labels(clean)
    batches = Batches(samples=noisy.train, batch_size=256, shuffle=False)
    record = record_exits(al_network(opened), batches.epoch(0))
    return {
        f"{measure}, depth {depth}": float(
            roc_auc_score(flipped, label_doubt(record, measure=measure, depth=depth))
        )
        for measure in MEASURES
        for depth in range(1, record.depth + 1)
    }


def _labels(data: DataSet) -> Tensor:
    batches = Batches(samples=data.train, batch_size=1024, shuffle=False)
    return torch.cat([y for _, y in batches.epoch(0)])


def _auroc(scores: Tensor, sizes: list[int]) -> float:
    strange = torch.arange(len(scores)) >= sizes[0]
    return float(roc_auc_score(strange, scores))


def _add(total: dict[str, list[float]], found: dict[str, float]) -> None:
    for name, value in found.items():
        total.setdefault(name, []).append(round(value, 4))


def _table(title: str, found: dict[str, list[float]]) -> Table:
    table = Table("score", "AUROC", "sd", "n", title=title)
    for name, values in found.items():
        sd, mean = torch.std_mean(torch.tensor(values))
        table.add_row(name, f"{mean:.3f}", f"{sd:.3f}", str(len(values)))
    return table


if __name__ == "__main__":
    main()

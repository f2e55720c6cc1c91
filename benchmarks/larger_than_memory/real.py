"""A deep encoder on real texts: memory, time and accuracy of AL offloaded, AL in memory and BP.

Run: ``python benchmarks/larger_than_memory/real.py --data-root DATA``. See README.md beside this.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from networks import Checkpointed
from rich.console import Console
from rich.table import Table
from run import Stopwatch, digest_of, peak_mib
from torch import nn

import associated_learning as al
from associated_learning import models
from associated_learning.data import Batches, DataSet, load
from associated_learning.losses import contrastive_loss
from associated_learning.runs.folder.provenance import describe_hardware
from associated_learning.verification.memory import return_freed_memory

LABELS = {
    "bp": "BP",
    "bp_checkpointing": "BP, checkpointing",
    "resident": "AL, in memory",
    "offloaded": "AL, offloaded to disk",
}
SEED, VOCABULARY, LATENT = 0, 8000, 128


def main() -> None:
    """Train by every method in a process of its own; print a table and a line of JSON."""
    arguments = _arguments()
    if arguments.method is not None:
        print(json.dumps(_train(arguments)))
        return
    found = {}
    for method in LABELS:
        words = [sys.executable, __file__, *sys.argv[1:], "--method", method]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)} failed:\n{done.stderr[-2000:]}")
        found[method] = json.loads(done.stdout.splitlines()[-1])
        print(LABELS[method], found[method], flush=True)
    Console(width=100).print(_table(found))
    print(json.dumps(_summary(found, arguments)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="sst2")
    parser.add_argument("--data-root", help="folder with NAME/SPLIT.parquet; else the hub")
    parser.add_argument("--samples", type=int, default=3200, help="for training")
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--window", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where stores go; the system's by default")
    parser.add_argument("--method", choices=LABELS, help="this one alone, in this process")
    return parser.parse_args()


def _train(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train for an epoch; return the accuracies, the seconds, and the memory beside the data."""
    return_freed_memory()
    torch.set_num_threads(arguments.threads)
    data = load(
        arguments.data,
        data_root=arguments.data_root,
        limit_train=arguments.samples,
        vocabulary_size=VOCABULARY,
        seed=SEED,
    )
    before = peak_mib()["peak_mib"]
    batches = Batches(samples=data.train, batch_size=arguments.batch, seed=SEED)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder, watch = Path(name), Stopwatch()
        net = _network(arguments, data, folder)
        offloaded = arguments.method == "offloaded"
        trainer = al.Trainer(
            epochs=1,
            lr=arguments.lr,
            clip=1.0,
            seed=SEED,
            executor="offload" if offloaded else "sequential",
            window=arguments.window if offloaded else None,
        )
        saved = al.Checkpoints(folder / "checkpoints")
        trainer.fit(net, batches, callbacks=[watch], checkpoints=saved)
        seconds = time.perf_counter() - watch.begin
        peak = peak_mib()["peak_mib"]
        held_out = Batches(samples=data.validation, batch_size=128, shuffle=False)
        scores = al.evaluate(net, held_out.epoch(0)).scores
        return {
            "peak_mib": peak,
            "training_mib": peak - before,
            "seconds": round(seconds, 1),
            "validation": [round(100 * score, 2) for score in scores],
            "digest": digest_of(saved.path("last")),
        }


def _encoder(number: int, width: int) -> nn.Module:
    """Return ``f`` of layer ``number``, from 0, with the weights it begins with in any process."""
    torch.manual_seed(number)
    if number == 0:
        return models.TokenEmbedding(vocabulary_size=VOCABULARY, dim=width)
    return models.TransformerLayer(
        width, heads=width // 64, feedforward=4 * width, norm_first=True, positions=number == 1
    )


def _layer(number: int, width: int, target: al.Target) -> al.ALLayer:
    f = _encoder(number, width)
    below = target.size if number == 0 else LATENT
    decoder = nn.Linear(LATENT, below)
    loss = {"reconstruction": target.loss} if number == 0 else {}
    return al.ALLayer(
        f=f,
        readout=models.MaskedMean(),
        b=nn.Linear(width, LATENT),
        g=nn.Sequential(nn.Linear(below, LATENT), nn.Tanh()),
        h=decoder if number == 0 else nn.Sequential(decoder, nn.Tanh()),
        association=contrastive_loss,
        **loss,
    )


def _network(arguments: argparse.Namespace, data: DataSet, folder: Path) -> al.Network:
    target, width = al.Classes(len(data.label_names)), arguments.width
    numbers = range(arguments.layers + 1)
    if arguments.method in ("bp", "bp_checkpointing"):
        encoders = [_encoder(number, width) for number in numbers]
        if arguments.method == "bp_checkpointing":
            encoders = [Checkpointed(encoder) for encoder in encoders]
        head = nn.Linear(width, target.size)
        return al.BPNetwork(models.LayeredModel(encoders, models.MaskedMean(), head), target)
    layers = (_layer(number, width, target) for number in numbers)  # each made when it is asked for
    if arguments.method == "resident":
        return al.ALNetwork(layers, target)
    return al.store_layers(layers, target, folder / "store")


def _table(found: dict[str, Any]) -> Table:
    table = Table("method", "memory of training, MiB", "seconds", "validation %, full; best depth")
    for method, one in found.items():
        full, best = one["validation"][-1], max(one["validation"])
        table.add_row(
            LABELS[method], str(one["training_mib"]), str(one["seconds"]), f"{full}; {best}"
        )
    return table


def _summary(found: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    offloaded, checkpointing = found["offloaded"], found["bp_checkpointing"]
    kept = ("data", "samples", "layers", "width", "batch", "lr", "window", "threads")
    return {
        "equal": offloaded["digest"] == found["resident"]["digest"],
        "memory_over_bp_checkpointing": round(
            offloaded["training_mib"] / checkpointing["training_mib"], 3
        ),
        **{
            method: {k: v for k, v in one.items() if k != "digest"} for method, one in found.items()
        },
        **{name: getattr(arguments, name) for name in kept},
        "hardware": describe_hardware("cpu"),
    }


if __name__ == "__main__":
    main()

"""Answers at every position: tags of words, pixels of garments, the next character; AL and BP.

Run: ``python benchmarks/positions/main.py --data-root DATA``. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).parents[1]))  # kept.py, timing.py, update.py serve several

from kept import once
from networks import LENGTH, Logits, language_model, network
from timing import alternate, ratios
from update import training_step

import associated_learning as al
from associated_learning.runs.folder.provenance import describe_hardware, find_provenance
from associated_learning.state.files import replaced_file
from associated_learning.training.length import warm_cosine
from associated_learning.verification.memory import peak_memory
from data import Split, characters, garments, words

TASKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "tokens": ("f1", ("bp", "al")),
    "segmentation": ("iou", ("bp", "al", "al_2", "al_block")),
    "lm": ("loss", ("bp", "al_2", "al_3")),
    "finetune": ("loss", ("bp", "al_2", "al_3")),
}
CLASSES = {"tokens": 3, "segmentation": 11}
RATES = {"finetune": (3e-4, 1e-3)}
_RATES = (1e-3, 3e-3)  # of the others


def main() -> None:
    """Train what is not trained yet, measure a step, print tables and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", help="folder with NAME/SPLIT.parquet; else the hub")
    parser.add_argument("--runs", type=Path, default=Path("runs/positions"), help="finished trials")
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--methods", nargs="+", help="some of those of a task, bp among them")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300, help="updates of the language model")
    parser.add_argument("--epochs", type=int, default=5, help="of tokens and segmentation")
    parser.add_argument("--pretraining", type=int, default=900, help="updates before finetune")
    parser.add_argument("--finetuning", type=int, default=150, help="updates of finetune")
    parser.add_argument("--threads", type=int, default=1, help="intra-op threads of torch")
    parser.add_argument("--rounds", type=int, default=9, help="of the timing")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    found: dict[str, Any] = {name: results(name, arguments) for name in arguments.only}
    for name, scores in found.items():
        Console(width=100).print(table(name, scores))
    costs = {name: cost(name, arguments) for name in arguments.only if name != "finetune"}
    step = {name: one["time"] for name, one in costs.items()}
    memory = {name: one["memory"] for name, one in costs.items()}
    about = {"seeds": arguments.seeds, "steps": arguments.steps, "epochs": arguments.epochs}
    where = {"hardware": describe_hardware("cpu"), "commit": find_provenance().commit}
    print(json.dumps({**found, "step_over_bp": step, "memory_over_bp": memory, **about, **where}))


def split_of(task: str, arguments: argparse.Namespace, seed: int) -> Split:
    """Return the data of a task."""
    root = arguments.data_root
    if task == "tokens":
        return words(root, seed)
    if task == "segmentation":
        return garments(root, seed)
    if task == "finetune":
        return characters(root, seed, LENGTH, 16, arguments.finetuning, "imdb")
    return characters(root, seed, LENGTH, 16, arguments.steps)


def methods_of(task: str, arguments: argparse.Namespace) -> list[str]:
    """Return the methods of a task that are asked for."""
    wanted = arguments.methods
    return [method for method in TASKS[task][1] if wanted is None or method in wanted]


def results(task: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what every method reaches: its rate chosen on the first seed, then all seeds."""
    found = {}
    for method in methods_of(task, arguments):
        rates = RATES.get(task, _RATES)
        tried = {rate: trial(task, method, rate, 0, arguments) for rate in rates}
        best = min(rates, key=lambda rate: tried[rate]["losses"][-1])
        trials = [trial(task, method, best, seed, arguments) for seed in range(arguments.seeds)]
        exits = [
            statistics.mean(depth) for depth in zip(*(t["exits"] for t in trials), strict=True)
        ]
        last = [t["exits"][-1] for t in trials]
        found[method] = {
            "mean": round(statistics.mean(last), 4),
            "deviation": round(statistics.stdev(last), 4) if len(last) > 1 else None,
            "exits": [round(value, 4) for value in exits],
            "rate": best,
        }
    return found


def trial(
    task: str, method: str, rate: float, seed: int, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Train one network, unless it was done before; return what every exit reaches."""
    length = {"lm": arguments.steps, "finetune": arguments.finetuning}.get(task, arguments.epochs)
    file = arguments.runs / f"{task}-{method}-{rate:g}-{seed}-{length}.json"
    return once(file, partial(_trained, task, method, rate, seed, arguments))


def _trained(
    task: str, method: str, rate: float, seed: int, arguments: argparse.Namespace
) -> dict[str, Any]:
    split = split_of(task, arguments, seed)
    x, _ = next(split.train.epoch(0))
    target = al.Classes(
        CLASSES.get(task, split.known), positions=2 if task == "segmentation" else 1
    )
    known = pretrained(arguments) if task == "finetune" else None
    net = network(task, method, x, target, split.known, seed, known)
    begun = al.evaluate(net, split.validation.epoch(0)).losses[-1] if known else None
    epochs = 1 if task in ("lm", "finetune") else arguments.epochs
    schedule = warm_cosine(epochs, len(split.train))
    begin = time.perf_counter()
    al.Trainer(epochs=epochs, lr=rate, clip=1.0, seed=seed, **schedule).fit(net, split.train)
    seconds = time.perf_counter() - begin
    metric = TASKS[task][0]
    named = [] if metric == "loss" else [metric]
    judged = al.evaluate(net, split.validation.epoch(0), metrics=named)
    return {
        "before": begun,
        "losses": judged.losses,
        "exits": judged.metrics[metric] if named else judged.losses,
        "updates": epochs * len(split.train),
        "seconds": round(seconds, 1),
    }


def pretrained(arguments: argparse.Namespace) -> dict[str, torch.Tensor]:
    """Return the weights of a language model of AG News, trained by backpropagation, once."""
    file = arguments.runs / f"pretrained-{arguments.pretraining}.safetensors"
    if not file.exists():
        split = characters(arguments.data_root, 0, LENGTH, 16, arguments.pretraining)
        torch.manual_seed(0)
        model = language_model(split.known)
        net = al.BPNetwork(Logits(model), al.Classes(split.known, positions=1))
        schedule = warm_cosine(1, len(split.train))
        al.Trainer(epochs=1, lr=1e-3, clip=1.0, seed=0, **schedule).fit(net, split.train)
        print(file.name, al.evaluate(net, split.validation.epoch(0)).losses, flush=True)
        arguments.runs.mkdir(parents=True, exist_ok=True)
        with replaced_file(file) as temporary:
            save_file({n: w.clone() for n, w in model.state_dict().items()}, temporary)
    return load_file(file)


def cost(task: str, arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Return time and memory of an update over BP's, in one process, turn by turn."""
    split = split_of(task, arguments, 0)
    x, y = next(split.train.epoch(0))
    target = al.Classes(
        CLASSES.get(task, split.known), positions=2 if task == "segmentation" else 1
    )
    others = [method for method in methods_of(task, arguments) if method != "bp"]
    methods = ["bp", "bp_checkpointing", *others] + (["al_6"] if task == "lm" else [])
    steps = {
        method: training_step(network(task, method, x, target, split.known, 0), x, y)
        for method in methods
    }
    seconds = alternate(steps, rounds=arguments.rounds, warmup=2)
    peaks = {method: peak_memory(step) for method, step in steps.items()}
    return {
        "time": {m: round(ratios(seconds[m], seconds["bp"]).median, 3) for m in methods[1:]},
        "memory": {m: round(peaks[m] / peaks["bp"], 3) for m in methods[1:]},
    }


def table(task: str, found: dict[str, Any]) -> Table:
    """Return a table of what every method reaches."""
    made = Table("method", TASKS[task][0], "each exit", "rate", title=task)
    for method, one in found.items():
        spread = "" if one["deviation"] is None else f" ± {one['deviation']:.4f}"
        exits = ", ".join(f"{value:.3f}" for value in one["exits"])
        made.add_row(method, f"{one['mean']:.4f}{spread}", exits, f"{one['rate']:g}")
    return made


if __name__ == "__main__":
    main()

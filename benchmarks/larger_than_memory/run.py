"""One training in a process of its own, which the kernel holds to a limit; prints JSON."""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import tempfile
import time
from pathlib import Path

import torch
from networks import Sizes, al_layers, batches, bp_network

import associated_learning as al
from associated_learning.state.training_state import TrainingState
from associated_learning.training.callbacks import Callback, Losses
from associated_learning.verification.memory import return_freed_memory

METHODS = ("resident", "offloaded", "bp", "bp_checkpointing")
MIB = 2**20


class Stopwatch(Callback):
    """Tells how long the updates took, without what comes before the first and after the last."""

    def __init__(self) -> None:
        self.begin = self.end = self.processor = 0.0

    def started(self, state: TrainingState, *, epochs: int, batches: int) -> None:
        """Begin."""
        self.begin, self.processor = time.perf_counter(), time.process_time()

    def batch_done(self, state: TrainingState, losses: Losses) -> None:
        """End, if it is the last."""
        self.end = time.perf_counter()


def make_network(arguments: argparse.Namespace, sizes: Sizes, folder: Path) -> al.Network:
    """Return the network of a method: in memory, or put into a store layer by layer."""
    target = al.Classes(4)
    if arguments.method == "offloaded":
        return al.store_layers(al_layers(sizes), target, folder / "store")
    if arguments.method == "resident":
        return al.ALNetwork(al_layers(sizes), target)
    torch.manual_seed(0)
    return bp_network(sizes, checkpointing=arguments.method == "bp_checkpointing")


def digest_of(folder: Path) -> str:
    """Return one SHA-256 of all tensors of a checkpoint: weights and states of optimizers."""
    files = sorted(folder.glob("*.safetensors"))
    lines = [f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def peak_mib() -> dict[str, int]:
    """Return the most memory that this process had: resident, and private (as limited)."""
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"peak_mib": resident}


def main() -> None:
    """Train and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("--limit", type=int, help="MiB of private memory, by RLIMIT_DATA")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--window", type=int)
    parser.add_argument("--memory", help="what the planner may use, instead of --window")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--digest", action="store_true")
    parser.add_argument("--folder", type=Path, help="where the store goes")
    for name in Sizes._fields:
        parser.add_argument(f"--{name}", type=int, required=True)
    arguments = parser.parse_args()
    if arguments.limit is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (arguments.limit * MIB,) * 2)
    return_freed_memory()
    torch.set_num_threads(arguments.threads)
    sizes = Sizes(*(getattr(arguments, name) for name in Sizes._fields))
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder, watch = Path(name), Stopwatch()
        net = make_network(arguments, sizes, folder)
        offloaded = arguments.method == "offloaded"
        settings = {"window": arguments.window, "memory": arguments.memory} if offloaded else {}
        trainer = al.Trainer(
            epochs=1, lr=1e-4, executor="offload" if offloaded else "sequential", **settings
        )
        saved = al.Checkpoints(folder / "checkpoints") if arguments.digest or offloaded else None
        trainer.fit(net, batches(sizes, arguments.steps), callbacks=[watch], checkpoints=saved)
        # an offloaded run is done when its last window is on the disk
        end = time.perf_counter() if offloaded else watch.end
        # which other work on the machine changes less than it does the time that passes
        processor = time.process_time() - watch.processor
        found = {"seconds": end - watch.begin, "processor_seconds": processor, **peak_mib()}
        if arguments.digest:
            assert saved is not None
            found["digest"] = digest_of(saved.path("last"))
    print(json.dumps(found))


if __name__ == "__main__":
    main()

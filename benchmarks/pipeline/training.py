"""Contestants that the library's trainer runs: AL by every executor, and backpropagation."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
import torch.distributed as dist
from clock import BlockClock
from networks import NETWORKS, Lengths
from run import RankRun
from torch import Tensor, nn

import associated_learning as al
from associated_learning.pipeline.planning.costs import bytes_in
from associated_learning.training.callbacks import Callback

__all__ = ["LEARNING_RATE", "Backpropagation", "Batches", "Pipeline", "Sequential", "Watch"]

LEARNING_RATE = 1e-4


class Sequential:
    """AL in one process: every minibatch passes all layers before the next one begins."""

    def __init__(self, network: str) -> None:
        self.settings: dict[str, Any] = {"executor": "sequential"}
        self.network = NETWORKS[network]
        self.net = self.network.associated()
        self.sizes: Sequence[int] = [self.net.num_layers]

    def run(self, lengths: Lengths, steps: int) -> RankRun:
        """Train for an epoch of so many steps."""
        watch, batches = Watch(), Batches(self.network.epoch(lengths, steps))
        with BlockClock(self.net.blocks()) as clock:
            trainer = al.Trainer(epochs=1, lr=LEARNING_RATE, **self.settings)
            trainer.fit(self.net, batches, callbacks=[watch])
        begin, busy = 0, []
        for size in self.sizes:
            busy.append(sum(clock.cpu[begin : begin + size]))
            begin += size
        mine = [seconds for seconds in busy if seconds]  # the others are stages of other ranks
        return RankRun(batches.begin, watch.end, mine, clock.wall)

    def sizes_handed_on(self) -> list[int]:
        """Return the bytes of ``(s, t)`` after every layer, for a minibatch."""
        x, y = self.network.epoch("fixed", 1)[0]
        with torch.no_grad():
            outputs = self.net.associate(x, y)
        return [bytes_in((output.s, output.t)) for output in outputs]

    def digests(self, lengths: Lengths, steps: int) -> dict[str, str]:
        """Train a new network; return the SHA-256 of every layer's weights."""
        self.net = self.network.associated()
        self.run(lengths, steps)
        return {name: digest(part) for name, part in self.net.parts().items()}


class Pipeline(Sequential):
    """AL by an executor that lets stages work on different minibatches at the same time."""

    def __init__(self, network: str, executor: Literal["threads", "processes"]) -> None:
        super().__init__(network)
        self.executor = executor
        if executor == "processes":
            dist.init_process_group("gloo")  # once, and not in every run

    def build(self, sizes: list[int]) -> None:
        """Cut the network into stages of so many layers."""
        self.sizes = sizes
        self.settings = {"executor": self.executor, "stages": sizes}


class Backpropagation:
    """The same encoders with a head, end to end, by the same trainer."""

    def __init__(self, network: str) -> None:
        self.network = NETWORKS[network]
        self.net = al.BPNetwork(self.network.plain(), self.network.target())

    def run(self, lengths: Lengths, steps: int) -> RankRun:
        """Train for an epoch of so many steps."""
        watch, batches = Watch(), Batches(self.network.epoch(lengths, steps))
        cpu = time.thread_time()
        trainer = al.Trainer(epochs=1, lr=LEARNING_RATE, executor="sequential")
        trainer.fit(self.net, batches, callbacks=[watch])
        return RankRun(batches.begin, watch.end, [time.thread_time() - cpu], [])


class Batches(al.LoaderBatches):
    """Notes when the first batch is asked for: whatever an executor prepares is done by then."""

    begin = 0.0

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Any, Tensor]]:
        self.begin = time.perf_counter()
        yield from super().epoch(epoch, start)


class Watch(Callback):
    """Notes when the last batch was done."""

    end = 0.0

    def batch_done(self, state: object, losses: object) -> None:
        self.end = time.perf_counter()


def digest(module: nn.Module) -> str:
    """Return the SHA-256 of a module's parameters and buffers."""
    found = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        found.update(name.encode())
        found.update(tensor.detach().contiguous().numpy().tobytes())
    return found.hexdigest()

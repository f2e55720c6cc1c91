"""Contestants of torch: backpropagation in two pipelined ranks, by torch.distributed.pipelining."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
from networks import NETWORKS, Lengths
from run import RankRun
from torch import Tensor, nn
from torch.distributed.pipelining import (
    PipelineStage,
    Schedule1F1B,
    ScheduleGPipe,
    ScheduleInterleaved1F1B,
)

from associated_learning.models import LayeredModel
from associated_learning.tensors.padded_sequence import PaddedSequence
from training import LEARNING_RATE

__all__ = ["SCHEDULES", "Microbatches"]

SCHEDULES: dict[str, Any] = {
    "gpipe": ScheduleGPipe,
    "1f1b": Schedule1F1B,
    "interleaved": ScheduleInterleaved1F1B,
}


class Chunk(nn.Module):
    """Consecutive encoders, and the head above the last ones; tensors in, one tensor out."""

    def __init__(self, model: LayeredModel, begin: int, end: int) -> None:
        super().__init__()
        self.encoders = nn.Sequential(*list(model.layers)[begin:end])
        last = end == len(model.layers)
        self.top = nn.Sequential(model.readout, model.head) if last else None

    def forward(self, values: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the values of the next stage's input, or the logits."""
        s = self.encoders(values if lengths is None else PaddedSequence(values, lengths))
        if self.top is not None:
            logits: Tensor = self.top(s)
            return logits
        out: Tensor = s.values if isinstance(s, PaddedSequence) else s
        return out


class Microbatches:
    """One rank of a pipeline for backpropagation; Adam steps once all microbatches are through.

    Args:
        network: Name of the network.
        schedule: Name of torch's schedule.
    """

    def __init__(self, network: str, schedule: str) -> None:
        dist.init_process_group("gloo")
        self.network = NETWORKS[network]
        self.kind = SCHEDULES[schedule]
        self.rank, self.ranks = dist.get_rank(), dist.get_world_size()

    def build(self, sizes: list[int], microbatches: int) -> None:
        """Make the stages anew: ``sizes`` encoders each, dealt out to the ranks in turn."""
        bounds = [sum(sizes[:i]) for i in range(len(sizes) + 1)]
        spans = list(enumerate(pairwise(bounds)))[self.rank :: self.ranks]
        model = self.network.plain()
        chunks = [Chunk(model, *span) for _, span in spans]
        stages = [
            PipelineStage(chunk, i, len(sizes), torch.device("cpu"))
            for chunk, (i, _) in zip(chunks, spans, strict=True)
        ]
        one_each = len(sizes) == self.ranks
        loss = self.network.target().loss
        self.schedule = self.kind(stages[0] if one_each else stages, microbatches, loss_fn=loss)
        parameters = [parameter for chunk in chunks for parameter in chunk.parameters()]
        self.optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE, fused=True)

    def run(self, lengths: Lengths, steps: int) -> RankRun:
        """Train for so many steps."""
        epoch, target = self.network.epoch(lengths, steps), self.network.target()
        dist.barrier()
        begin, cpu = time.perf_counter(), time.thread_time()
        for x, y in epoch:
            self._step(x, target.encode(y))
        return RankRun(begin, time.perf_counter(), [time.thread_time() - cpu], [])

    def _step(self, x: Tensor | PaddedSequence, t0: Tensor) -> None:
        # every rank has the data: lengths and targets need not be sent, only activations
        values, others = (
            (x.values, {"lengths": x.lengths}) if isinstance(x, PaddedSequence) else (x, {})
        )
        inputs = [values] if self.rank == 0 else []
        self.optimizer.zero_grad()
        self.schedule.step(*inputs, target=t0, return_outputs=False, **others)
        self.optimizer.step()

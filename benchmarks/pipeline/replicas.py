"""Contestant of torch: backpropagation by DistributedDataParallel, each rank on half a batch."""

from __future__ import annotations

import time

import torch
import torch.distributed as dist
from networks import NETWORKS, Lengths
from run import RankRun
from torch.nn.parallel import DistributedDataParallel

from associated_learning.tensors.nested import map_tensors
from training import LEARNING_RATE

__all__ = ["Replicas"]


class Replicas:
    """One rank that holds the whole model; gradients are averaged over all ranks in every step."""

    def __init__(self, network: str) -> None:
        dist.init_process_group("gloo")
        self.network = NETWORKS[network]
        self.rank, self.ranks = dist.get_rank(), dist.get_world_size()

    def build(self, bucket_mib: float) -> None:
        """Make the model anew; gradients are sent in buckets of so many MiB."""
        self.model = DistributedDataParallel(
            self.network.plain(),
            bucket_cap_mb=bucket_mib,
            gradient_as_bucket_view=True,
            static_graph=True,
        )
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=LEARNING_RATE, fused=True)

    def run(self, lengths: Lengths, steps: int) -> RankRun:
        """Train for so many steps."""
        target = self.network.target()
        epoch = [
            # every second sample, not one half and the other: the longest text is the first
            (map_tensors(lambda part: part[self.rank :: self.ranks], x), y[self.rank :: self.ranks])
            for x, y in self.network.epoch(lengths, steps)
        ]
        dist.barrier()
        begin, cpu = time.perf_counter(), time.thread_time()
        for x, y in epoch:
            self.optimizer.zero_grad()
            target.loss(self.model(x), target.encode(y)).backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
        return RankRun(begin, time.perf_counter(), [time.thread_time() - cpu], [])

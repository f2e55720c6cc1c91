"""Data parallelism inside a stage: ranks that share its minibatches and average its gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.nn.parallel import DistributedDataParallel

from associated_learning.pipeline.items import Item, Minibatch, Report, SnapshotReport, Trained
from associated_learning.pipeline.stage import Stage
from associated_learning.targets.rows import PositionTargets
from associated_learning.tensors.nested import map_tensors
from associated_learning.tensors.randomness.keyed import derive_seed

__all__ = ["averaged", "replicated", "shard"]


def shard(item: Item, replica: int, replicas: int) -> Item:
    """Return a replica's share of a minibatch: every R-th sample; of other items all.

    Of a minibatch with fewer samples than replicas some samples are taken more than once, so
    that no replica is without one.

    Example:
        >>> import torch
        >>> minibatch = Minibatch(0, torch.arange(5), torch.arange(5))
        >>> [shard(minibatch, r, 2).s.tolist() for r in range(2)]
        [[0, 2, 4], [1, 3]]
    """
    if not isinstance(item, Minibatch) or replicas == 1:
        return item
    t: Tensor | PositionTargets = item.t
    samples = t.which if isinstance(t, PositionTargets) else t
    size = len(samples)
    rows = torch.arange(replica, max(size, replica + 1), replicas, device=samples.device) % size

    def share(tensor: Tensor) -> Tensor:
        return tensor[rows]

    own = t._replace(which=share(samples)) if isinstance(t, PositionTargets) else share(t)
    return Minibatch(item.step, map_tensors(share, item.s), own)


def replicated(stage: Stage, replica: int, group: ProcessGroup) -> Stage:
    """Return a stage whose gradients are those of the minibatches of all its replicas.

    Each replica draws other random numbers; the first one draws those of a stage without
    replicas. Statistics, as those of BatchNorm, are the first one's.
    """
    blocks: list[nn.Module] = [
        block if optimizer is None else _wrapped(block, group)
        for block, optimizer in zip(stage.blocks, stage.optimizers, strict=True)
    ]
    seed = stage.rule.seed
    own = seed if replica == 0 else derive_seed(seed, "replica", replica)
    return replace(stage, blocks=blocks, replica=replica, rule=replace(stage.rule, seed=own))


def _wrapped(block: nn.Module, group: ProcessGroup) -> nn.Module:
    # a converted layer may hold modules that its forward never calls
    return DistributedDataParallel(block, process_group=group, find_unused_parameters=True)


def averaged(reports: Sequence[Report]) -> Report:
    """Return the report of a stage from those of all its replicas, the first one's first."""
    first = reports[0]
    trained = [report for report in reports if isinstance(report, Trained)]
    if isinstance(first, Trained) and len(trained) == len(reports):
        losses = [
            {name: sum(terms[name] for terms in layer) / len(layer) for name in layer[0]}
            for layer in zip(*(report.losses for report in trained), strict=True)
        ]
        return Trained(first.step, losses, [time for report in trained for time in report.times])
    others = [report for report in reports if not isinstance(report, (Trained, SnapshotReport))]
    return others[0] if others else first

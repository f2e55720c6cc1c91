"""Stages on one GPU: each on a CUDA stream of its own, so that small layers fill the card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from associated_learning.network import Network
from associated_learning.pipeline.items import Minibatch
from associated_learning.pipeline.stage import Stage
from associated_learning.pipeline.threads.capturable import is_capturable, untouched
from associated_learning.pipeline.threads.executor import Threads
from associated_learning.pipeline.threads.graphs import Graphed
from associated_learning.tensors.modes import autocast, evaluating

__all__ = ["streams"]


def streams(net: Network, stages: Sequence[Stage], sample: Minibatch) -> Threads:
    """Return the executor of stages that share one GPU.

    A thread a stage launches its kernels on the stage's stream. Layers that do the same in every
    step (see `is_capturable`) replay CUDA graphs for minibatches of the sample's shape, so that
    launching costs next to nothing; the others, and other shapes, run eagerly. Bits are the same.
    """
    device = stages[0].device
    contexts = [
        torch.cuda.stream(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]
        for _ in stages
    ]
    return Threads(net, _graphed(stages, sample), contexts=contexts)


def _graphed(stages: Sequence[Stage], sample: Minibatch) -> list[Stage]:
    (s, t), found = sample.first(), []
    for stage in stages:
        blocks: list[nn.Module] = []
        precision = stage.rule.precision
        for block, optimizer in zip(stage.blocks, stage.optimizers, strict=True):
            with autocast(stage.device, precision):
                fits = optimizer is not None and is_capturable(block, s, t)
            blocks.append(Graphed(block, s, t, precision) if fits else block)
            with untouched(block), evaluating(block), autocast(stage.device, precision):
                s, t, _ = block(s, t)
        found.append(replace(stage, blocks=blocks))
    return found

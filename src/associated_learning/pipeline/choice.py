"""Which executor trains a network: as asked, or as suits the hardware."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from associated_learning.network import Network
from associated_learning.pipeline.executor import Executor, Sequential
from associated_learning.pipeline.stage import Stage
from associated_learning.pipeline.threads import Threads

__all__ = ["EXECUTORS", "make_executor"]

EXECUTORS = ("auto", "sequential", "threads", "streams", "processes")


def make_executor(
    name: str, net: Network, stage: Stage, *, sizes: int | Sequence[int] | None
) -> Executor:
    if name in ("auto", "sequential"):
        return Sequential(net, stage)
    if isinstance(sizes, int) or sizes is None:
        count = sizes or 2
        n = len(stage.blocks)
        sizes = [n // count + (i < n % count) for i in range(count)]
    return Threads(net, replace(stage, copies=True).split(sizes))

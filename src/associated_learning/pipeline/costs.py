"""What the update of each layer costs, measured on a copy, so that stages can be balanced."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable

import torch

from associated_learning.network import Network
from associated_learning.pipeline.items import Job
from associated_learning.pipeline.stage import Stage

__all__ = ["layer_times"]

ROUNDS = 3


def layer_times(net: Network, stage_of: Callable[[Network], Stage], job: Job) -> list[float]:
    """Return the seconds that the update of each block takes on a minibatch.

    The fastest of some updates counts, since other work on the machine can only slow one down.
    Network and random state are left as they are.

    Args:
        net: The network, in the mode it trains in.
        stage_of: Makes optimizers for a network: the whole of it as one stage.
        job: A minibatch.
    """
    again = copy.deepcopy(net)
    whole = stage_of(again)
    stages = whole.split([1] * len(whole.blocks))
    seconds = [float("inf")] * len(stages)
    for _ in range(1 + ROUNDS):  # the first one also makes the state of the optimizers
        item = job
        for i, stage in enumerate(stages):
            begin = time.perf_counter()
            _, item = stage.train(item)
            if stage.device.type == "cuda":
                torch.cuda.synchronize(stage.device)
            seconds[i] = min(seconds[i], time.perf_counter() - begin)
    return seconds

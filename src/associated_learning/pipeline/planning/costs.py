"""What the layers cost, measured on a copy, so that stages can be balanced."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch

from associated_learning.network import Network
from associated_learning.pipeline.items import Minibatch
from associated_learning.pipeline.stage import Stage
from associated_learning.tensors.copying import copied
from associated_learning.tensors.nested import tensors_in

__all__ = ["LayerCosts", "bytes_in", "layer_costs"]

ROUNDS = 3
# Of a processor's time. To a process: the copies that gloo and the kernel make, 4 ms on either side
# for 4.2 MB. To a thread: one side copies, the other finds nothing of it in its cache, 2 ms.
_SECONDS_A_BYTE = {"process": 1e-9, "thread": 0.5e-9}


class LayerCosts(NamedTuple):
    """What a minibatch costs, by block.

    Attributes:
        seconds: Of the update.
        sizes: Bytes of ``(s, t)`` after it.
    """

    seconds: list[float]
    sizes: list[int]

    def handing(
        self, to: Literal["process", "thread"], wire: torch.dtype | None = None
    ) -> list[float]:
        """Return what it takes either side to hand ``(s, t)`` on, in seconds.

        Args:
            to: Where the next layer is.
            wire: Type of float32 activations on their way to another process.
        """
        share = 0.5 if wire is torch.bfloat16 else 1.0
        return [share * _SECONDS_A_BYTE[to] * size for size in self.sizes[:-1]]


def layer_costs(
    net: Network, stage_of: Callable[[Network], Stage], minibatch: Minibatch
) -> LayerCosts:
    """Measure the update of each block on a minibatch.

    The fastest of some updates counts, since other work on the machine can only slow one down.
    Network and random state are left as they are.

    Args:
        net: The network, in the mode it trains in.
        stage_of: Makes optimizers for a network: the whole of it as one stage.
        minibatch: Of the usual size.
    """
    again = copied(net)
    whole = stage_of(again)
    stages = whole.split([1] * len(whole.blocks))
    seconds, sizes = [float("inf")] * len(stages), [0] * len(stages)
    for _ in range(1 + ROUNDS):  # the first one also makes the state of the optimizers
        item = minibatch
        for i, stage in enumerate(stages):
            begin = time.perf_counter()
            _, item = stage.train(item)
            if stage.device.type == "cuda":
                torch.cuda.synchronize(stage.device)
            seconds[i] = min(seconds[i], time.perf_counter() - begin)
            sizes[i] = bytes_in((item.s, item.t))
    return LayerCosts(seconds, sizes)


def bytes_in(structure: Any) -> int:
    """Return the bytes of all tensors of a structure."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors_in(structure))

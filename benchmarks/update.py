"""One update of a whole network, as the trainer does it, for benchmarks to time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim import Optimizer

import associated_learning as al
from associated_learning.state.optimizers import make_optimizers
from associated_learning.tensors.devices import device_of

__all__ = ["training_step"]


def training_step(
    net: al.Network, x: object, y: Tensor, optimizer: type[Optimizer] = torch.optim.Adam
) -> Callable[[], None]:
    """Return a function that does one update of the network on a batch, to its end on a GPU."""
    device = device_of(net)
    blocks, t0 = net.blocks(), net.target.encode(y)
    optimizers = make_optimizers(blocks, optimizer, lr=1e-4)
    step = 0

    def update() -> None:
        nonlocal step
        al.update_network(blocks, optimizers, x, t0, step=step)
        step += 1
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return update

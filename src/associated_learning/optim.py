"""One optimizer and one schedule for each block of a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from associated_learning.errors import InputError

__all__ = ["Schedule", "make_optimizers", "make_schedulers"]

Schedule = Callable[[Optimizer], LRScheduler]

_FUSED = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD, torch.optim.Adagrad)


def make_optimizers(
    blocks: Sequence[nn.Module],
    optimizer: type[Optimizer] = torch.optim.Adam,
    *,
    lr: float | Sequence[float] = 1e-3,
    **options: Any,
) -> list[Optimizer | None]:
    """Make one optimizer for each block; None where a block has nothing to train.

    Args:
        blocks: `Network.blocks`, from the input up.
        optimizer: Any class of ``torch.optim`` (or of the same interface).
        lr: One learning rate for all blocks, or one for each.
        options: Passed on to the optimizer. Where the class has a fused kernel it is used
            unless ``fused=False`` or ``foreach=True`` is given: on large embeddings it is
            several times faster.

    Raises:
        InputError: The number of learning rates is not the number of blocks.
    """
    rates = [lr] * len(blocks) if isinstance(lr, (int, float)) else list(lr)
    if len(rates) != len(blocks):
        raise InputError(
            f"{len(rates)} learning rates came for {len(blocks)} layers that train in "
            "isolation; expected one for each, or a single number for all."
        )
    if optimizer in _FUSED and "foreach" not in options:
        options.setdefault("fused", True)
    return [
        _make(optimizer, block, rate, options) for block, rate in zip(blocks, rates, strict=True)
    ]


def _make(
    optimizer: type[Optimizer], block: nn.Module, lr: float, options: dict[str, Any]
) -> Optimizer | None:
    trainable = [parameter for parameter in block.parameters() if parameter.requires_grad]
    if not trainable:
        return None
    return optimizer(trainable, lr=lr, **options)  # type: ignore[call-arg]


def make_schedulers(
    optimizers: Sequence[Optimizer | None], schedule: Schedule | None
) -> list[LRScheduler | None]:
    """Make one learning-rate schedule for each optimizer.

    Args:
        optimizers: As `make_optimizers` returns them.
        schedule: Makes a scheduler of an optimizer, such as
            ``lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 10)``.
    """
    if schedule is None:
        return [None] * len(optimizers)
    return [None if optimizer is None else schedule(optimizer) for optimizer in optimizers]

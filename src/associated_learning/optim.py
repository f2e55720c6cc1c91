"""One optimizer and one schedule for each block of a network."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from associated_learning.encoders import encoders_in
from associated_learning.errors import InputError

__all__ = ["Schedule", "make_optimizers", "make_schedulers"]

T = TypeVar("T")
Schedule = Callable[[Optimizer], LRScheduler]

_FUSED = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD, torch.optim.Adagrad)


def make_optimizers(
    blocks: Sequence[nn.Module],
    optimizer: type[Optimizer] | Sequence[type[Optimizer]] = torch.optim.Adam,
    *,
    lr: float | Sequence[float] = 1e-3,
    encoder_lr: float | Sequence[float] | None = None,
    **options: Any,
) -> list[Optimizer | None]:
    """Make one optimizer for each block; None where a block has nothing to train.

    Args:
        blocks: `Network.blocks`, from the input up.
        optimizer: Any class of ``torch.optim`` (or of the same interface), or one a block.
        lr: One learning rate for all blocks, or one for each.
        encoder_lr: That of the encoders (see `encoders_in`) where it is another than that of
            the parts beside them, as when the encoders are pretrained and b, g and h are not;
            one for all blocks, or one for each. They become a second parameter group.
        options: Passed on to the optimizer. Where the class has a fused kernel it is used
            unless ``fused=False`` or ``foreach=True`` is given: on large embeddings it is
            several times faster.

    Raises:
        InputError: The number of learning rates is not the number of blocks, or a block does
            not tell its encoders.
    """
    kinds = one_a_block("optimizers", optimizer, len(blocks))
    rates = one_a_block("learning rates", lr, len(blocks))
    encoder_rates = one_a_block("learning rates of encoders", encoder_lr, len(blocks))
    return [
        _make(kind, block, rate, encoder_rate, options)
        for kind, block, rate, encoder_rate in zip(kinds, blocks, rates, encoder_rates, strict=True)
    ]


def one_a_block(what: str, value: T | Sequence[T], count: int) -> list[T]:
    """Return ``count`` values: those of a sequence, or one value for all."""
    if not isinstance(value, (list, tuple)):
        return [value] * count  # type: ignore[list-item]
    if len(value) != count:
        raise InputError(
            f"{len(value)} {what} came for {count} layers that train in isolation; expected one "
            "for each, or a single one for all."
        )
    return list(value)


def _make(
    kind: type[Optimizer],
    block: nn.Module,
    lr: float,
    encoder_lr: float | None,
    options: dict[str, Any],
) -> Optimizer | None:
    groups = _groups(block, lr, encoder_lr)
    if not groups:
        return None
    if inspect.signature(kind.step).parameters["closure"].default is inspect.Parameter.empty:
        raise InputError(
            f"{kind.__name__} came; expected an optimizer whose step needs no closure: Adam, say."
        )
    if kind in _FUSED and not {"foreach", "differentiable"} & options.keys():
        options = {"fused": True, **options}
    try:
        return kind(groups, lr=lr, **options)  # type: ignore[call-arg]
    except (ValueError, TypeError, RuntimeError) as error:
        rates = [group["lr"] for group in groups]
        raise InputError(
            f"{kind.__name__} cannot be made for {type(block).__name__} with learning rate "
            f"{', '.join(map(str, rates))} and {options}: {error}"
        ) from error


def _groups(block: nn.Module, lr: float, encoder_lr: float | None) -> list[dict[str, Any]]:
    """Return the parameter groups of a block: what is beside the encoders first."""
    trainable = [parameter for parameter in block.parameters() if parameter.requires_grad]
    if encoder_lr is None:
        return [{"params": trainable, "lr": lr}] if trainable else []
    encoders = encoders_in(block)
    if not encoders:
        raise InputError(
            f"encoder_lr={encoder_lr} came for {type(block).__name__}, which does not tell its "
            "encoders from its head; make the model a LayeredModel(layers, readout, head)."
        )
    own = {id(parameter) for f in encoders for parameter in f.parameters()}
    groups = [
        {"params": [p for p in trainable if id(p) not in own], "lr": lr},
        {"params": [p for p in trainable if id(p) in own], "lr": encoder_lr},
    ]
    return [group for group in groups if group["params"]]


def make_schedulers(
    optimizers: Sequence[Optimizer | None],
    schedule: Schedule | Sequence[Schedule | None] | None,
) -> list[LRScheduler | None]:
    """Make one learning-rate schedule for each optimizer.

    Args:
        optimizers: As `make_optimizers` returns them.
        schedule: Makes a scheduler of an optimizer, such as
            ``lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 10)``, or a list with
            one or None for each block.
    """
    schedules = one_a_block("schedules", schedule, len(optimizers))
    return [
        None if optimizer is None or make is None else make(optimizer)
        for optimizer, make in zip(optimizers, schedules, strict=True)
    ]

"""One optimizer and one schedule for each block of a network."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from associated_learning.errors import InputError
from associated_learning.layer import ALLayer, PerLayer, one_for_each
from associated_learning.models.lookahead import Lookahead
from associated_learning.state.freezing import encoders_in
from associated_learning.state.training_state import EpochRecord
from associated_learning.tensors.hollow import is_hollow
from associated_learning.tensors.strides import is_dense, with_strides

__all__ = ["Schedule", "advance", "align_states", "make_optimizers", "make_schedulers"]

Schedule = Callable[[Optimizer], LRScheduler]

_ISOLATED = "layers that train in isolation"
_FUSED = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD, torch.optim.Adagrad)


def make_optimizers(
    blocks: Sequence[nn.Module],
    optimizer: PerLayer[type[Optimizer]] = torch.optim.Adam,
    *,
    lr: PerLayer[float] = 1e-3,
    encoder_lr: PerLayer[float | None] = None,
    **options: Any,
) -> list[Optimizer | None]:
    """Make one optimizer for each block; None where a block has nothing to train.

    Args:
        blocks: `Network.blocks`, from the input up.
        optimizer: Any class of ``torch.optim`` (or of the same interface), or one a block.
        lr: One learning rate for all blocks, or one for each.
        encoder_lr: That of the encoders (see `encoders_in`) where it is another than that of
            the parts beside them, as when the encoders are pretrained and b, g and h are not;
            one for all encoders, or one for each, from the input up. Encoders become parameter
            groups of their own, after that of the other parts; so do the copies of encoders in
            a lookahead bridge, by the rate of their layer's encoder.
        options: Passed on to the optimizer. Where the class has a fused kernel it is used
            unless ``fused=False`` or ``foreach=True`` is given, or parameters are complex or have
            gaps in memory: on large embeddings it is several times faster.

    Raises:
        InputError: The number of learning rates is not the number of blocks or encoders, or a
            block does not tell its encoders.
    """
    kinds = one_for_each("optimizers", optimizer, len(blocks), _ISOLATED)
    rates = one_for_each("learning rates", lr, len(blocks), _ISOLATED)
    encoders = [encoders_in(block) for block in blocks]
    own_rates = iter(_encoder_rates(encoders, encoder_lr))
    return [
        _make(kind, _groups(block, rate, [(f, next(own_rates)) for f in own]), block, options)
        for kind, block, rate, own in zip(kinds, blocks, rates, encoders, strict=True)
    ]


def _encoder_rates(
    encoders: list[list[nn.Module]], rates: PerLayer[float | None]
) -> list[float | None]:
    """Return one learning rate for each encoder of all blocks; None for that of its block."""
    count = sum(map(len, encoders))
    if rates is not None and not all(encoders):
        raise InputError(
            f"encoder_lr={rates} came for a model that does not tell its encoders from its head; "
            "make it a LayeredModel(layers, readout, head)."
        )
    return one_for_each("learning rates of encoders", rates, count, "encoders")


def _make(
    kind: type[Optimizer], groups: list[dict[str, Any]], block: nn.Module, options: dict[str, Any]
) -> Optimizer | None:
    if not groups:
        return None
    if inspect.signature(kind.step).parameters["closure"].default is inspect.Parameter.empty:
        raise InputError(
            f"{kind.__name__} came; expected an optimizer whose step needs no closure: Adam, say."
        )
    parameters = [p for group in groups for p in group["params"]]
    # a fused kernel walks through memory, without a look at strides
    plain = all((is_dense(p) or is_hollow(p)) and not p.is_complex() for p in parameters)
    if kind in _FUSED and plain and not {"foreach", "differentiable"} & options.keys():
        options = {"fused": True, **options}
    try:
        # classes of torch check this rate, but not those of the groups
        return kind(groups, lr=min(group["lr"] for group in groups), **options)  # type: ignore[call-arg]
    except (ValueError, TypeError, RuntimeError) as error:
        rates = ", ".join(str(group["lr"]) for group in groups)
        raise InputError(
            f"{kind.__name__} cannot be made for {type(block).__name__} with learning rate "
            f"{rates} and {options}: {error}"
        ) from error


def _groups(
    block: nn.Module, lr: float, encoders: list[tuple[nn.Module, float | None]]
) -> list[dict[str, Any]]:
    """Return the parameter groups of a block: what has its own rate, then encoders by theirs."""
    rates = {id(p): rate for f, rate in encoders if rate is not None for p in f.parameters()}
    for layer in (module for module in block.modules() if isinstance(module, ALLayer)):
        rate = dict(encoders).get(layer.f)
        if isinstance(layer.readout, Lookahead) and rate is not None:  # pretrained as f is
            rates |= {id(p): rate for p in layer.readout.blocks.parameters()}
    by_rate: dict[float | None, list[nn.Parameter]] = {None: []}
    for parameter in block.parameters():
        if parameter.requires_grad:
            by_rate.setdefault(rates.get(id(parameter)), []).append(parameter)
    return [
        {"params": parameters, "lr": lr if rate is None else rate}
        for rate, parameters in by_rate.items()
        if parameters
    ]


def make_schedulers(
    optimizers: Sequence[Optimizer | None],
    schedule: PerLayer[Schedule | None],
) -> list[LRScheduler | None]:
    """Make one learning-rate schedule for each optimizer.

    Args:
        optimizers: As `make_optimizers` returns them.
        schedule: Makes a scheduler of an optimizer, such as
            ``lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 10)``, or a list with
            one or None for each block.
    """
    schedules = one_for_each("schedules", schedule, len(optimizers), _ISOLATED)
    return [
        None if optimizer is None or make is None else make(optimizer)
        for optimizer, make in zip(optimizers, schedules, strict=True)
    ]


def align_states(optimizer: Optimizer) -> None:
    """Let the state of an optimizer lie in memory as its parameters do.

    So it does when it is made; one that comes from a file lies in the order of its values. Fused
    kernels walk through both at once without a look at strides.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            alike = isinstance(value, Tensor) and value.shape == parameter.shape
            if alike and value.stride() != parameter.stride() and not is_hollow(value):
                if value.is_cuda:  # its memory may be of another stream, which would take it again
                    value.record_stream(torch.cuda.current_stream(value.device))
                state[name] = with_strides(value, parameter.stride())


def advance(schedulers: Sequence[LRScheduler | None], record: EpochRecord | None) -> None:
    """Advance every schedule; one that waits for a plateau sees the full depth's validation."""
    for scheduler in schedulers:
        if isinstance(scheduler, ReduceLROnPlateau):
            if record is None or not record.scores:
                raise InputError("ReduceLROnPlateau needs validation data and whole epochs.")
            falling = scheduler.mode == "min"
            scheduler.step(record.validation_losses[-1] if falling else record.scores[-1])
        elif scheduler is not None:
            scheduler.step()

"""Gradient accumulation: several minibatches make one update, in the room of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from associated_learning.layer import LayerOutput
from associated_learning.tensors.randomness.keyed import derive_seed
from associated_learning.update import (
    DEFAULT_RULE,
    UpdateRule,
    add_gradients,
    apply_gradients,
    drop_gradients,
    update_layer,
)

__all__ = ["update_on_parts"]


def update_on_parts(
    layer: nn.Module,
    optimizer: Optimizer | None,
    s: Sequence[Any],
    t: Sequence[Any],
    *,
    shares: Sequence[float],
    number: int,
    step: int,
    rule: UpdateRule = DEFAULT_RULE,
) -> LayerOutput:
    """Algorithm 2, lines 5 to 12, for one layer on several minibatches that make one update.

    A layer takes all of them before the next layer does, so that still only one layer's graph and
    gradients are live at a time. Where losses are means over samples (or positions that count),
    it is the update on all samples at once; BatchNorm, contrast and class weights see a
    minibatch at a time. The first minibatch draws the random numbers of a plain update, each of
    the others its own.

    Arguments are those of `update_layer`, but for ``s`` and ``t``, which hold those of each
    minibatch, and for ``shares``, the minibatches' shares in the losses, which add up to 1.

    Returns:
        ``s_i`` and ``t_i`` of each minibatch, and the losses of the update; all detached.

    Raises:
        InputError: The layer cannot take a minibatch.
        NonFiniteLossError: A loss is NaN or infinite; the weights are left untouched.
    """
    if optimizer is not None:
        drop_gradients(optimizer)
    outputs = []
    for k, (own_s, own_t, share) in enumerate(zip(s, t, shares, strict=True)):
        seed = derive_seed(rule.seed, "part", k) if k else rule.seed
        own, key = replace(rule, seed=seed), {"number": number, "step": step}
        if optimizer is None:
            outputs.append(update_layer(layer, None, own_s, own_t, rule=own, **key))
        else:
            outputs.append(add_gradients(layer, own_s, own_t, rule=own, share=share, **key))
    losses = _mean([output.losses for output in outputs], shares)
    s, t = (tuple(output[k] for output in outputs) for k in range(2))
    whole = LayerOutput(s, t, losses)  # type: ignore[arg-type]
    if optimizer is not None:
        apply_gradients(optimizer, whole, number=number, step=step, rule=rule)
    return whole


def _mean(losses: Sequence[Mapping[str, Tensor]], shares: Sequence[float]) -> dict[str, Tensor]:
    weighted = list(zip(losses, shares, strict=True))
    return {
        name: sum((share * terms[name] for terms, share in weighted[1:]), first * shares[0])
        for name, first in losses[0].items()
    }

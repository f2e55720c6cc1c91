"""Algorithm 2: the weight update of one layer, and of a network layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from associated_learning.errors import NonFiniteLossError
from associated_learning.layer import Branch, LayerOutput
from associated_learning.models.following import follow_layers, set_overlaps
from associated_learning.tensors.batch_checks import explained
from associated_learning.tensors.modes import autocast, evaluating
from associated_learning.tensors.nested import detach, tensors_in
from associated_learning.tensors.randomness.keyed import StepKey, seeded

__all__ = [
    "Randomness",
    "UpdateRule",
    "add_gradients",
    "apply_gradients",
    "drop_gradients",
    "update_blocks",
    "update_layer",
    "update_network",
]

Randomness = Callable[..., AbstractContextManager[None]]


@dataclass(frozen=True, kw_only=True)
class UpdateRule:
    """How a layer is updated: all that does not change from one update to the next.

    Attributes:
        seed: Keys the randomness inside a layer, with its number and the step.
        clip: Largest norm of a layer's gradient; None for no clipping.
        precision: Autocast type of forward and loss, such as ``torch.bfloat16``; None for that
            of the tensors.
        randomness: How random numbers are keyed: `seeded` by torch's own generators, which one
            thread at a time can use; `thread_seeded` by generators of this thread alone.

    Example:
        >>> import associated_learning as al
        >>> al.UpdateRule(seed=7, clip=1.0).clip
        1.0
    """

    seed: int = 0
    clip: float | None = None
    precision: torch.dtype | None = None
    randomness: Randomness = seeded


DEFAULT_RULE = UpdateRule()


def update_layer(
    layer: nn.Module,
    optimizer: Optimizer | None,
    s: Any,
    t: Tensor,
    *,
    number: int,
    step: int,
    rule: UpdateRule = DEFAULT_RULE,
) -> LayerOutput:
    """Algorithm 2, lines 5 to 12, for one layer: forward, loss, backward, clip, step.

    Every executor calls this function and nothing else to train. The layer's graph and
    gradients are freed on return, so only one layer's live at a time.

    Args:
        layer: An `ALLayer`, or any block of `Network.blocks`.
        optimizer: Holds the layer's parameters; None leaves the layer as it is (frozen).
        s: ``s_{i-1}``.
        t: ``t_{i-1}``, ``[B, D_{i-1}]``.
        number: ``i``, from 1; with the step it keys dropout and whatever else is random.
        step: Number of this update, from 0.
        rule: How to update.

    Returns:
        ``s_i``, ``t_i`` and the losses, all detached.

    Raises:
        InputError: The layer cannot take ``s`` and ``t``.
        NonFiniteLossError: The loss is NaN or infinite; the weights are left untouched.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> layer = al.ALLayer(
        ...     f=nn.Linear(4, 8), b=nn.Linear(8, 5), g=nn.Linear(3, 5), h=nn.Linear(5, 3)
        ... )
        >>> optimizer = torch.optim.Adam(layer.parameters())
        >>> x, t0 = torch.randn(6, 4), al.Classes(3).encode(torch.arange(6) % 3)
        >>> s, t, losses = al.update_layer(layer, optimizer, x, t0, number=1, step=0)
        >>> s.shape, t.shape, list(losses)
        (torch.Size([6, 8]), torch.Size([6, 5]), ['associated', 'autoencoder'])
    """
    if optimizer is None:
        with evaluating(layer):  # no statistics, no dropout: it is left as it is
            return _run(layer, s, t, StepKey(rule.seed, number, step), rule)
    drop_gradients(optimizer)
    output = add_gradients(layer, s, t, number=number, step=step, rule=rule)
    apply_gradients(optimizer, output, number=number, step=step, rule=rule)
    return output


def add_gradients(
    layer: nn.Module,
    s: Any,
    t: Tensor,
    *,
    number: int,
    step: int,
    rule: UpdateRule = DEFAULT_RULE,
    share: float = 1.0,
) -> LayerOutput:
    """Algorithm 2, lines 5 to 10, for one layer: forward, loss, backward.

    For other people's loops, which clip and step by themselves; `update_layer` is this and the
    rest, with the same arguments. Gradients are added to those that the parameters have, times
    ``share`` where several minibatches make one update, and the layer's graph is freed.

    Returns:
        ``s_i``, ``t_i`` and the losses, all detached.

    Raises:
        InputError: The layer cannot take ``s`` and ``t``.
        NonFiniteLossError: The loss is NaN or infinite; the gradients are left untouched.
    """
    key = StepKey(rule.seed, number, step)
    output = _run(layer, s, t, key, rule)
    total = torch.stack(list(output.losses.values())).sum()
    if not bool(torch.isfinite(total)):
        raise NonFiniteLossError(_explain(output, key))
    (total if share == 1 else share * total).backward()  # type: ignore[no-untyped-call]
    # copied: torch's mse_loss returns a scalar that keeps as much memory as its input
    losses = {name: loss.detach().clone() for name, loss in output.losses.items()}
    return LayerOutput(detach(output.s), detach(output.t), losses)


def apply_gradients(
    optimizer: Optimizer, output: LayerOutput, *, number: int, step: int, rule: UpdateRule
) -> None:
    """Algorithm 2, lines 11 and 12, for one layer: clip, step; its gradients are freed.

    Raises:
        NonFiniteLossError: The gradient is NaN or infinite; the weights are left untouched.
    """
    if rule.clip is not None:
        norm = clip_grad_norm_(_parameters(optimizer), rule.clip)
        if not bool(torch.isfinite(norm)):
            key = StepKey(rule.seed, number, step)
            raise NonFiniteLossError(_explain(output, key, what="gradient"))
    optimizer.step()
    # no layer's gradients outlive its update, so that memory does not grow with depth
    drop_gradients(optimizer)


def update_network(
    blocks: Iterable[nn.Module],
    optimizers: Iterable[Optimizer | None],
    x: Any,
    t0: Tensor,
    *,
    step: int,
    rule: UpdateRule = DEFAULT_RULE,
) -> list[dict[str, Tensor]]:
    """Algorithm 2, lines 3 to 12: update all layers on one minibatch, from the input up.

    Args:
        blocks: `Network.blocks`.
        optimizers: One for each block, None for a frozen one.
        x: ``s_0``, a batch of inputs, ``[B, ...]`` as the first encoder takes them.
        t0: ``t_0``, ``[B, D_0]``: the batch of targets as `Target.encode` made them.
        step: Number of this update, from 0.
        rule: How to update the layers.

    Returns:
        The losses of every block by name.

    Raises:
        InputError: A layer cannot take what comes from below.
        NonFiniteLossError: A loss is NaN or infinite; the weights of that layer and of those above
            are left untouched.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> x, target = torch.randn(6, 4), al.Classes(3)
        >>> net = al.al_form([nn.Linear(4, 8), nn.Linear(8, 8)], x, target, latent=5)
        >>> optimizers = [torch.optim.Adam(block.parameters()) for block in net.blocks()]
        >>> t0, rule = target.encode(torch.arange(6) % 3), al.UpdateRule(clip=1.0)
        >>> losses = al.update_network(net.blocks(), optimizers, x, t0, step=0, rule=rule)
        >>> len(losses)
        2
    """
    *_, losses = update_blocks(blocks, optimizers, x, t0, step=step, rule=rule)
    return losses


def update_blocks(
    blocks: Iterable[nn.Module],
    optimizers: Iterable[Optimizer | None],
    s: Any,
    t: Any,
    *,
    step: int,
    first: int = 1,
    rule: UpdateRule = DEFAULT_RULE,
    update: Callable[..., LayerOutput] = update_layer,
) -> tuple[Any, Any, list[dict[str, Tensor]]]:
    """Update consecutive layers on one minibatch: those of one stage of a pipeline.

    Args:
        blocks: Some of `Network.blocks`, in their order.
        optimizers: One for each block, None for a frozen one.
        s: What the layer below gave, or a batch of inputs.
        t: What the layer below gave, or ``t_0``.
        step: Number of this update, from 0.
        first: Number of the first of the blocks in the network, from 1.
        rule: How to update them.
        update: What updates each of them; `update_layer`, or what takes the same.

    Returns:
        What the last of the layers gives to the next one, and the losses of each.
    """
    losses, blocks, optimizers = [], list(blocks), list(optimizers)
    trained = [optimizer is not None for optimizer in optimizers]
    set_overlaps(blocks, trained, first)
    for i, (block, optimizer) in enumerate(zip(blocks, optimizers, strict=True), start=first):
        number = block.number if isinstance(block, Branch) else i
        s, t, terms = update(block, optimizer, s, t, number=number, step=step, rule=rule)
        losses.append(terms)
    follow_layers(blocks, trained, first)
    return s, t, losses


def _run(layer: nn.Module, s: Any, t: Tensor, key: StepKey, rule: UpdateRule) -> LayerOutput:
    """Run a layer forward, on random numbers of its own."""
    device = tensors_in(t)[0].device
    with (
        rule.randomness(*key, device=device),
        autocast(device, rule.precision),
        explained(f"layer {key.layer} cannot take batch {key.step}", s),
    ):
        return LayerOutput(*layer(s, t))


def _parameters(optimizer: Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def drop_gradients(optimizer: Optimizer) -> None:
    """Free the gradients of an optimizer's parameters.

    As ``zero_grad`` does, without its hooks: on a small layer those cost as much as its loss.
    """
    for parameter in _parameters(optimizer):
        parameter.grad = None


def _explain(output: LayerOutput, key: StepKey, what: str = "loss") -> str:
    losses = ", ".join(f"{name} {float(loss.detach()):g}" for name, loss in output.losses.items())
    finite = all(bool(torch.isfinite(part).all()) for part in tensors_in(output.s))
    where = "although its activations are finite" if finite else "and so are its activations"
    return (
        f"the {what} of layer {key.layer} is not finite at batch {key.step} ({losses}), {where}. "
        "Its weights were not updated. Lower the learning rate, clip gradients, or use float32."
    )

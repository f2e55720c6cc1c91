"""The cross-entropy of a linear map, without the logits of all positions in memory at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from associated_learning.errors import InputError

__all__ = ["MOST_LOGITS", "linear_cross_entropy"]

_Judge: TypeAlias = Callable[..., Tensor]

MOST_LOGITS = 2**24  # in a chunk: 64 MiB of float32


def linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    *,
    bias: Tensor | None = None,
    class_weight: Tensor | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    chunk: int | None = None,
) -> Tensor:
    """Return the mean cross-entropy of ``hidden @ weight.T + bias`` over the positions that count.

    Positions pass in chunks, and the gradients are made with the loss: of ``[N, V]`` logits no
    more than a chunk exists at any time, and none is computed twice. They cannot be
    differentiated again. Where no position counts the loss is 0.

    Args:
        hidden: What the linear map is applied to, ``[*P, D]``.
        weight: Its weight, ``[V, D]``.
        labels: Class of each position, ``[*P]``.
        bias: Its bias, ``[V]``.
        class_weight: Weight of each class, ``[V]``, as in ``torch.nn.CrossEntropyLoss``.
        ignore_index: The label of positions that do not count; they cost no logits either.
        label_smoothing: As in ``torch.nn.CrossEntropyLoss``.
        chunk: Number of positions in a chunk; by default as many as make 64 MiB of logits.

    Raises:
        InputError: The shapes do not fit.

    Example:
        >>> import torch
        >>> hidden, weight = torch.randn(2, 5, 8), torch.zeros(4, 8)
        >>> labels = torch.tensor([[0, 1, 2, 3, 0], [1, 2, -100, -100, -100]])
        >>> round(linear_cross_entropy(hidden, weight, labels, chunk=2).item(), 4)  # log of 4
        1.3863
    """
    if hidden.shape[:-1] != labels.shape or weight.shape[1:] != hidden.shape[-1:]:
        raise InputError(
            f"hidden {list(hidden.shape)}, weight {list(weight.shape)} and labels "
            f"{list(labels.shape)} came; expected [*P, D], [V, D] and [*P]."
        )
    labels = labels.flatten()
    kept = labels != ignore_index
    rows, labels = hidden.flatten(0, -2)[kept], labels[kept]
    size = chunk or max(1, MOST_LOGITS // len(weight))
    judge = partial(_summed, class_weight=class_weight, label_smoothing=label_smoothing)
    chunks = list(zip(torch.split(rows, size), torch.split(labels, size), strict=True))
    if len(chunks) > 1 and torch.is_grad_enabled():
        chunked = torch.compiler.disable(_Chunked.apply)  # type: ignore[no-untyped-call]
        summed = chunked(judge, size, rows, weight, bias, labels)
    else:
        summed = torch.stack([judge(some, weight, bias, own) for some, own in chunks]).sum()
    total = len(rows) if class_weight is None else class_weight[labels].sum()
    loss: Tensor = summed / total if len(rows) else summed
    return loss


class _Chunked(torch.autograd.Function):
    """The sum over chunks of positions; gradients are made with each, while its logits exist."""

    @staticmethod
    def forward(
        ctx: Any,
        judge: _Judge,
        size: int,
        rows: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
    ) -> Tensor:
        wanted = ctx.needs_input_grad[2:5]
        grads = [
            torch.zeros_like(one) if one is not None and wants else None
            for one, wants in zip((rows, weight, bias), wanted, strict=True)
        ]
        summed = rows.new_zeros(())
        for begin in range(0, len(rows), size):
            part = slice(begin, begin + size)
            own = [
                None if one is None else one.detach().requires_grad_(wants)
                for one, wants in zip((rows[part], weight, bias), wanted, strict=True)
            ]
            with torch.enable_grad():
                loss = judge(*own, labels[part])
            learning = [one for one in own if one is not None and one.requires_grad]
            found = iter(torch.autograd.grad(loss, learning) if learning else ())
            summed = summed + loss.detach()
            for i, total in enumerate(grads):
                if total is not None:
                    (total[part] if i == 0 else total).add_(next(found))
        ctx.save_for_backward(*grads)
        return summed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        found = [None if one is None else one * grad for one in ctx.saved_tensors]
        return None, None, *found, None


def _summed(
    rows: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    class_weight: Tensor | None,
    label_smoothing: float,
) -> Tensor:
    logits = F.linear(rows, weight, bias)
    return F.cross_entropy(
        logits, labels, class_weight, reduction="sum", label_smoothing=label_smoothing
    )

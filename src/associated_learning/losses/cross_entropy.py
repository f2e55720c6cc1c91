"""The cross-entropy of a linear map, without the logits of all positions in memory at once."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from associated_learning.errors import InputError

__all__ = ["MOST_LOGITS", "linear_cross_entropy"]

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

    Positions pass in chunks, whose logits are computed again in the backward pass: of ``[N, V]``
    logits no more than a chunk exists at any time. What fits into one chunk is not computed twice.
    Where no position counts it is 0.

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
    constants = class_weight, label_smoothing
    if len(rows) <= size:
        summed = _summed(rows, weight, bias, labels, *constants)
    else:
        chunks = zip(torch.split(rows, size), torch.split(labels, size), strict=True)
        summed = torch.stack(
            [
                checkpoint(
                    _summed,
                    *(some, weight, bias, of_some, *constants),
                    use_reentrant=False,
                    preserve_rng_state=False,
                )
                for some, of_some in chunks
            ]
        ).sum()
    if not len(rows):
        return summed
    return summed / (len(rows) if class_weight is None else class_weight[labels].sum())


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

"""Some samples out of an activation: what stays of a batch when the others have their answer."""

from __future__ import annotations

from collections.abc import Sequence as Many
from typing import Any

import torch
from torch import Tensor, nn

from associated_learning.errors import InputError
from associated_learning.sequence import Sequence
from associated_learning.structure import map_tensors, tensors_in

__all__ = ["Axes", "axes_of", "num_samples", "take_rows"]

Axes = tuple[int | None, ...]
"""The dimension of each tensor of an activation that numbers the samples; None if none does."""


def num_samples(s: Any, axes: Axes | None = None) -> int:
    """Return how many samples an activation holds."""
    for tensor, axis in zip(tensors_in(s), axes or _first(s), strict=True):
        if axis is not None:
            return tensor.shape[axis]
    raise InputError("no tensor of the activation has a dimension for the samples.")


def take_rows(s: Any, rows: Tensor, axes: Axes | None = None) -> Any:
    """Return an activation with only some of its samples; padding shrinks with them.

    Args:
        s: A tensor, a `Sequence`, or a structure of tensors.
        rows: Numbers of the samples, ``[N]``.
        axes: See `axes_of`; by default the first dimension of every tensor numbers the samples.

    Example:
        >>> import torch
        >>> batch = Sequence(torch.tensor([[5, 6, 7], [8, 0, 0]]), torch.tensor([3, 1]))
        >>> take_rows(batch, torch.tensor([1])).values.tolist()
        [[8]]
    """
    remaining = iter(axes or _first(s))

    def take(tensor: Tensor) -> Tensor:
        axis = next(remaining)
        return tensor if axis is None else tensor.index_select(axis, rows.to(tensor.device))

    kept = map_tensors(take, s)
    if isinstance(kept, Sequence) and len(rows):
        longest = int(kept.lengths.max())
        return kept._replace(values=kept.values[:, :longest])
    return kept


def axes_of(encoders: Many[nn.Module], x: Any) -> list[Axes]:
    """Return, for the input and what each encoder makes of it, which dimensions are of samples.

    Found by running the encoders on two samples and on one. So a table of positions that has as
    many rows as the batch by chance is not taken for samples.

    Args:
        encoders: In evaluation mode.
        x: A batch of at least two samples, whose first dimensions number them.

    Raises:
        InputError: One sample came, or an activation holds something that depends on the number
            of samples and is no dimension of a tensor.
    """
    if num_samples(x) < 2:
        raise InputError("a batch of one sample came to learn shapes from; expected two or more.")
    two, one = take_rows(x, torch.tensor([0, 1])), take_rows(x, torch.tensor([0]))
    found = [_compared(two, one, 0)]
    for number, f in enumerate(encoders, start=1):
        two, one = f(two), f(one)
        found.append(_compared(two, one, number))
    return found


def _first(s: Any) -> Axes:
    return (0,) * len(tensors_in(s))


def _compared(two: Any, one: Any, layer: int) -> Axes:
    pairs = list(zip(tensors_in(two), tensors_in(one), strict=True))
    return tuple(_axis(a, b, layer) for a, b in pairs)


def _axis(two: Tensor, one: Tensor, layer: int) -> int | None:
    differing = [i for i, (a, b) in enumerate(zip(two.shape, one.shape, strict=True)) if a != b]
    if not differing:
        return None
    for axis in differing:
        if (two.shape[axis], one.shape[axis]) == (2, 1):
            return axis
    raise InputError(
        f"layer {layer} hands on a tensor of shape {list(two.shape)} for two samples and "
        f"{list(one.shape)} for one; expected one dimension that numbers the samples, so that "
        "some can leave early."
    )

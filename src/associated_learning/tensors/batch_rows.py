"""Some samples out of an activation: what stays of a batch when the others have their answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from associated_learning.errors import InputError
from associated_learning.tensors.chain import encodings
from associated_learning.tensors.nested import map_tensors, tensors_in
from associated_learning.tensors.padded_sequence import PaddedSequence

__all__ = ["Axes", "axes_of", "num_samples", "take_rows"]

Axes = tuple[int | None, ...]
"""The dimension of each tensor of an activation that numbers the samples; None if none does."""


def num_samples(s: Any, axes: Axes | None = None) -> int:
    """Return how many samples an activation holds."""
    for tensor, axis in zip(tensors_in(s), axes or _first_axes(s), strict=True):
        if axis is not None:
            return tensor.shape[axis]
    raise InputError("no tensor of the activation has a dimension for the samples.")


def take_rows(s: Any, rows: Tensor, axes: Axes | None = None) -> Any:
    """Return an activation with only some of its samples; padding shrinks with them.

    Args:
        s: A tensor, a `PaddedSequence`, or a structure of tensors.
        rows: Numbers of the samples, ``[N]``.
        axes: See `axes_of`; by default the first dimension of every tensor numbers the samples.

    Example:
        >>> import torch
        >>> batch = PaddedSequence(torch.tensor([[5, 6, 7], [8, 0, 0]]), torch.tensor([3, 1]))
        >>> take_rows(batch, torch.tensor([1])).values.tolist()
        [[8]]
    """
    remaining = iter(axes or _first_axes(s))

    def take(tensor: Tensor) -> Tensor:
        axis = next(remaining)
        return tensor if axis is None else tensor.index_select(axis, rows.to(tensor.device))

    kept = map_tensors(take, s)
    if isinstance(kept, PaddedSequence) and len(rows):
        longest = int(kept.lengths.max())
        return kept._replace(values=kept.values[:, :longest])
    return kept


def axes_of(encoders: Sequence[nn.Module], x: Any) -> list[Axes]:
    """Return, for the input and what each encoder makes of it, which dimensions are of samples.

    Found by running the encoders on the batch, and on the batch twice over: the same samples, so
    that a model which looks at them (is any of them padded?) hands on the same tensors. So a table
    of positions that has as many rows as the batch by chance is not taken for samples.

    Args:
        encoders: In evaluation mode.
        x: A batch whose first dimensions number the samples.

    Raises:
        InputError: An activation holds something that depends on the number of samples and is no
            dimension of a tensor.
    """
    count = num_samples(x)
    once, twice = x, take_rows(x, torch.arange(count).repeat(2))
    pairs = zip(encodings(encoders, once), encodings(encoders, twice), strict=True)
    return [
        _compared(one, two, count, number)
        for number, (one, two) in enumerate([(once, twice), *pairs])
    ]


def _first_axes(s: Any) -> Axes:
    return (0,) * len(tensors_in(s))


def _compared(once: Any, twice: Any, count: int, layer: int) -> Axes:
    pairs = zip(tensors_in(once), tensors_in(twice), strict=True)
    return tuple(_axis(one, two, count, layer) for one, two in pairs)


def _axis(one: Tensor, two: Tensor, count: int, layer: int) -> int | None:
    sizes = list(zip(one.shape, two.shape, strict=True))
    if one.shape == two.shape:
        return None
    if (count, 2 * count) in sizes:
        return sizes.index((count, 2 * count))
    raise InputError(
        f"layer {layer} hands on a tensor of shape {list(one.shape)} for {count} samples and "
        f"{list(two.shape)} for {2 * count}; expected one dimension that numbers the samples, so "
        "that some can leave early."
    )

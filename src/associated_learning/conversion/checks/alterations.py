"""Batches that are like another but for one thing: a sample, an input, their number, their size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from associated_learning.conversion.tracing.arguments import Arguments

__all__ = ["repeated", "resized", "reversed_rows", "rolled", "with_row"]

# by the number of axes of the data: which could be positions or pixels
_POSITIONS: dict[int, list[tuple[int, ...]]] = {
    2: [(1,)], 3: [(1,), (2,)], 4: [(2, 3)], 5: [(3, 4), (1,), (2,)]
}  # fmt: skip


def with_row(
    arguments: Arguments, inputs: Mapping[str, Tensor], sample: int
) -> dict[str, Tensor] | None:
    """Return a batch in which one sample is another of them; None if all of them are alike."""
    rows = arguments.rows(inputs)
    count = arguments.count(inputs)
    for donor in ((sample + i) % count for i in range(1, count)):
        if all(torch.equal(inputs[name][donor], inputs[name][sample]) for name in rows):
            continue
        index = torch.arange(count)
        index[sample] = donor
        return {
            name: value[index.to(value.device)] if name in rows else value
            for name, value in inputs.items()
        }
    return None


def reversed_rows(arguments: Arguments, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a batch with its samples in the other order."""
    rows = arguments.rows(inputs)
    return {name: value.flip(0) if name in rows else value for name, value in inputs.items()}


def rolled(
    arguments: Arguments, inputs: Mapping[str, Tensor], name: str
) -> dict[str, Tensor] | None:
    """Return a batch with one input moved on by a sample; None if that changes nothing."""
    if name not in arguments.rows(inputs):
        return None
    moved = inputs[name].roll(1, 0)
    return None if torch.equal(moved, inputs[name]) else {**inputs, name: moved}


def repeated(arguments: Arguments, inputs: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """Return a batch of so many samples, again from the first one where there are too few."""
    rows = arguments.rows(inputs)
    index = torch.arange(count) % arguments.count(inputs)
    return {
        name: value[index.to(value.device)] if name in rows else value
        for name, value in inputs.items()
    }


def resized(
    arguments: Arguments, inputs: Mapping[str, Tensor], share: float
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield batches with another number of positions or pixels, and what differs in words.

    Every input that is as long as the data there, such as a mask, is as long again; an input of a
    length of its own also changes alone.
    """
    data = inputs[arguments.data_name]
    for axes in _POSITIONS.get(data.dim(), []):
        batch = dict(inputs)
        for axis in axes:
            size = data.shape[axis]
            for name, value in batch.items():
                for own in _axes_of(arguments, name, value, axis, size):
                    batch[name] = _of_size(batch[name], own, share)
        yield f"of axis {' and '.join(map(str, axes))}", batch
    for name in arguments.rows(inputs):
        value = inputs[name]
        if value.dim() > 1 and data.dim() > 1 and value.shape[1] != data.shape[1]:
            yield f"of axis 1 of {name}", {**inputs, name: _of_size(value, 1, share)}


def _of_size(value: Tensor, axis: int, share: float) -> Tensor:
    """Return a tensor with fewer or more positions; an odd number of them, unless twice as many."""
    size = value.shape[axis]
    new = int(size * share) if share > 1 else int(size * share) | 1
    return value.index_select(axis, torch.arange(new, device=value.device) % size)


def _axes_of(arguments: Arguments, name: str, value: Tensor, axis: int, size: int) -> list[int]:
    """Return the axes of an input that are positions of the data: all of a shared mask."""
    if name in arguments.shared or value.shape[:1] == value.shape[1:2] == (size,):
        return [own for own, length in enumerate(value.shape) if length == size]
    return [axis] if value.dim() > axis and value.shape[axis] == size else []

"""Which axis of an activation holds the samples: found by a run on other samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from associated_learning.conversion.tracing.call import Call, Recording, leaves

__all__ = ["Rows", "other_order"]


def other_order(count: int) -> list[int]:
    """Return which samples the other run gets: in reverse order, but for a new first one."""
    return [count // 3, *range(count - 2, -1, -1)]


@dataclass
class Rows:
    """Which axis of a tensor of a run holds one row for each sample.

    Another run tells it, on the samples in reverse order whose first is exchanged: all rows but
    that one must come in reverse order. Sorted batches, samples that see each other or are folded
    into another axis, and inputs whose first axis is not the batch fail.

    Attributes:
        recording: The run.
        other: The run on `other_order`; None if there is none.
    """

    recording: Recording
    other: Recording | None = None
    _twins: dict[int, Tensor] = field(default_factory=dict)
    _known: dict[int, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.other is not None:
            self._twins.update(_twins(self.recording.root, self.other.root))

    @property
    def count(self) -> int:
        """The number of samples."""
        return next(iter(self.recording.inputs.values())).shape[0]

    def follow(self, tensor: Tensor) -> bool:
        """Whether an axis holds the samples in their order, each in a row of its own."""
        if id(tensor) not in self._known:
            self._known[id(tensor)] = self._followed(tensor)
        return self._known[id(tensor)]

    def _followed(self, tensor: Tensor) -> bool:
        twin = self._twins.get(id(tensor))
        if twin is None or tensor.is_meta:  # a run that took another way says nothing
            return self.count in tensor.shape
        axes = [axis for axis, size in enumerate(tensor.shape) if size == self.count]
        return any(_is_batch_axis(tensor, twin, axis) for axis in axes)


def _twins(call: Call, other: Call) -> Iterator[tuple[int, Tensor]]:
    """Yield what a run's calls made, by id, and what the same calls made in the other."""
    if len(call.children) != len(other.children) or call.target != other.target:
        return
    for children in zip(call.children, other.children, strict=True):
        yield from _twins(*children)
    for own, twin in zip(leaves(call.output), leaves(other.output), strict=False):
        if isinstance(own, Tensor) and isinstance(twin, Tensor) and own.shape == twin.shape:
            yield id(own), twin


def _is_batch_axis(tensor: Tensor, other: Tensor, axis: int) -> bool:
    with torch._C.DisableTorchFunction(), torch.no_grad():
        count = tensor.shape[axis]
        rest = tensor.narrow(axis, 0, count - 1).flip(axis)
        return _close(rest, other.narrow(axis, 1, count - 1))


def _close(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are the same but for rounding: other rows differ by far more."""
    if a.is_complex():
        a, b = torch.view_as_real(a.resolve_conj()), torch.view_as_real(b.resolve_conj())
    a, b = a.float().nan_to_num(), b.float().nan_to_num()
    scale = float(a.abs().max()) if a.numel() else 0.0
    return torch.allclose(a, b, rtol=0.0, atol=0.02 * scale)

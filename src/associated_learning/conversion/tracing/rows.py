"""Which axis of an activation holds the samples: found by runs on other samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from associated_learning.conversion.tracing.call import Call, Recording, leaves

__all__ = ["Rows"]


@dataclass
class Rows:
    """Which axis of a tensor of a run holds one row for each sample.

    Two more runs tell it: one on the samples in reverse order, whose rows must come in reverse
    order; one on a batch whose first sample is another, where that row alone may change. Sorted
    batches, samples folded into another axis, and inputs whose first axis is not the batch fail.

    Attributes:
        recording: The run.
        reverse: The run on the samples in reverse order; None if there is none.
        changed: The run on a batch with another first sample; None if there is none.
    """

    recording: Recording
    reverse: Recording | None = None
    changed: Recording | None = None
    _twins: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    _axes: dict[int, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.reverse is not None and self.changed is not None:
            roots = (self.recording.root, self.reverse.root, self.changed.root)
            self._twins.update(_twins(*roots))

    @property
    def count(self) -> int:
        """The number of samples."""
        return next(iter(self.recording.inputs.values())).shape[0]

    def follow(self, tensor: Tensor) -> bool:
        """Whether an axis holds the samples in their order, each in a row of its own."""
        if id(tensor) not in self._axes:
            self._axes[id(tensor)] = self._followed(tensor)
        return self._axes[id(tensor)]

    def _followed(self, tensor: Tensor) -> bool:
        twins = self._twins.get(id(tensor))
        if twins is None or tensor.is_meta:  # a run that took another way says nothing
            return self.count in tensor.shape
        axes = [axis for axis, size in enumerate(tensor.shape) if size == self.count]
        return any(_is_batch_axis(tensor, *twins, axis) for axis in axes)


def _twins(
    call: Call, reverse: Call, changed: Call
) -> Iterator[tuple[int, tuple[Tensor, Tensor]]]:
    """Yield what a run's calls made, by id, and what the same calls made in the two others."""
    alike = len(call.children) == len(reverse.children) == len(changed.children)
    if not alike or not call.target == reverse.target == changed.target:
        return
    for children in zip(call.children, reverse.children, changed.children, strict=True):
        yield from _twins(*children)
    made = zip(*(leaves(c.output) for c in (call, reverse, changed)), strict=False)
    for parts in made:
        if all(isinstance(part, Tensor) for part in parts):
            own, *others = parts
            if all(other.shape == own.shape for other in others):  # type: ignore[union-attr]
                yield id(own), tuple(others)  # type: ignore[misc]


def _is_batch_axis(tensor: Tensor, reverse: Tensor, changed: Tensor, axis: int) -> bool:
    with torch._C.DisableTorchFunction(), torch.no_grad():
        others = range(1, tensor.shape[axis])
        index = torch.tensor(list(others), device=tensor.device)
        return _close(tensor.flip(axis), reverse) and _close(
            tensor.index_select(axis, index), changed.index_select(axis, index)
        )


def _close(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are the same but for rounding: other rows differ by far more."""
    a, b = (t.resolve_conj().abs() if t.is_complex() else t.double() for t in (a, b))
    a, b = a.nan_to_num(), b.nan_to_num()
    scale = float(a.abs().max()) if a.numel() else 0.0
    return torch.allclose(a, b, rtol=0.0, atol=0.02 * scale)

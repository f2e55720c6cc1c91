"""Position influence: what stands at a position reaches its own row of what every bridge reads."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from associated_learning.conversion.checks.check import Check
from associated_learning.conversion.checks.subject import Subject
from associated_learning.conversion.positions import input_with_positions

__all__ = ["check_positions"]

_REMEDY = (
    "Cut where the positions are those of y (at=): after what shifts, sorts or folds them; or give "
    "a readout of your own that puts them right: readout=."
)


def check_positions(subject: Subject, inputs: Mapping[str, Tensor]) -> list[Check]:
    """Change one token or pixel, in evaluation, and look where it arrives.

    It must arrive in its own position of what each bridge reads; and where the model lets no
    position see later ones, no layer may.
    """
    name = input_with_positions(inputs)
    value, axes = inputs[name], subject.positions
    place = _place(value, axes)
    changed = {**inputs, name: _changed(value, axes, place)}
    with subject.mode(False):
        before, after = subject.read(inputs), subject.read(changed)
        causal = len(place) == 1 and _is_causal(subject, inputs, changed, place[0])
    sizes = tuple(value.shape[axis] for axis in axes)
    pairs = enumerate(zip(before, after, strict=True))
    return [_judged(subject, i, old, new, place, sizes, causal) for i, (old, new) in pairs]


def _place(value: Tensor, axes: tuple[int, ...]) -> tuple[int, ...]:
    """Return a position in the middle; of ids one that stands beside another id."""
    middle = tuple(value.shape[axis] // 2 for axis in axes)
    if value.is_floating_point():
        return middle
    order = sorted(range(value.shape[1]), key=lambda p: abs(p - middle[0]))
    unlike = (p for p in order if not torch.equal(value[:, p], value[:, p - 1]))
    return (next(unlike, middle[0]),)


def _changed(value: Tensor, axes: tuple[int, ...], place: tuple[int, ...]) -> Tensor:
    """Return an input with another value at one position of all samples."""
    changed = value.clone()
    seen = changed.movedim(axes, tuple(range(1, 1 + len(axes))))
    if not value.is_floating_point():
        seen[:, place[0]] = seen[:, place[0] - 1]
        return changed
    for number in place:
        seen = seen.select(1, number)
    seen.mul_(2).add_(1)
    return changed


def _is_causal(
    subject: Subject, inputs: Mapping[str, Tensor], changed: Mapping[str, Tensor], place: int
) -> bool:
    """Whether the model's own features before a position do not depend on it."""
    axis = subject.batch_axes[-1]
    old, new = (subject.features(x).movedim(axis, 0) for x in (inputs, changed))
    return old.dim() == 3 and torch.equal(old[:, :place], new[:, :place])


def _judged(
    subject: Subject,
    i: int,
    old: Tensor,
    new: Tensor,
    place: tuple[int, ...],
    sizes: tuple[int, ...],
    causal: bool,
) -> Check:
    claim = f"positions of layer {i + 1} are those of y"
    differ = (old != new).any(-1).any(0)
    near = tuple(
        _near(p, size, found) for p, size, found in zip(place, sizes, differ.shape, strict=True)
    )
    if not bool(differ[near].any()):
        seen = "other positions" if bool(differ.any()) else "nothing"
        evidence = f"changing position {list(place)} changes {seen} of what the bridge reads"
        return Check(claim, False, evidence, subject.place(i), _REMEDY)
    if causal and bool(differ[: place[0]].any()):
        evidence = (
            f"changing position {place[0]} changes earlier ones, which it does not in the model"
        )
        return Check(claim, False, evidence, subject.place(i), _REMEDY)
    also = ", and no earlier one" if causal else ""
    return Check(claim, True, f"changed position {list(place)}: its own changes{also}")


def _near(position: int, size: int, found: int) -> slice:
    """Return the positions of an axis that a position may be in, where there are fewer or more."""
    if size == found:
        return slice(position, position + 1)
    own = position * found // size
    return slice(max(own - 1, 0), own + 2)

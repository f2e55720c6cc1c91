"""Row influence: a sample of the batch reaches its own row of every layer, and no other row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from associated_learning.conversion.checks.alterations import reversed_rows, with_row
from associated_learning.conversion.checks.check import Check
from associated_learning.conversion.checks.subject import Subject
from associated_learning.conversion.slicing.slice import Stream

__all__ = ["check_rows", "differing_rows"]

_REMEDY = (
    "Pass batches whose first axis holds the samples (batch_first=True), and cut where every "
    "sample is a row: before or after what sorts or folds them. Where rows are no samples, as "
    "the nodes of a graph are none, say so: al.Example(x, linked=True)."
)
# of the largest value: what a whole batch shares (a norm, say) moves other rows far less than that
_TOLERANCE = 0.02
_ROUNDING = 1e-5


class _Row(NamedTuple):
    """What a changed sample did to a layer: changed rows of s and of what is read of it.

    What is read may change by less than counts as another row, and is not blind then.
    """

    sample: int
    s: list[int]
    read: list[int]
    is_seen: bool


def check_rows(
    subject: Subject,
    inputs: Mapping[str, Tensor],
    samples: Iterable[int],
    *,
    in_other_order: bool = True,
    known: Sequence[Stream] | None = None,
) -> list[Check]:
    """Change one sample after the other, in evaluation, and look which rows change.

    Samples in the other order must give the same rows in the other order, too.

    Args:
        subject: Model and layers.
        inputs: A batch of two samples or more.
        samples: Which of them to change, each into another sample of the batch.
        in_other_order: Whether to try the other order; `Rows` has tried it on the model, too.
        known: What the layers hand on for the batch in evaluation, if that is known.
    """
    count = subject.arguments.count(inputs)
    seen: list[list[_Row]] = [[] for _ in subject.encoders]
    with subject.mode(False):
        before = _read(subject, known) if known else _run(subject, inputs)
        for i, (s, axis) in enumerate(zip(before, subject.batch_axes, strict=True)):
            rows = s[0].shape[axis] if s[0].dim() > axis else 0
            if rows != count:
                return [_folded(subject, i, rows, count)]
        for i in _out_of_order_in(subject, inputs, before) if in_other_order else ():
            return [_out_of_order(subject, i)]
        for sample in samples:
            changed = with_row(subject.arguments, inputs, sample)
            if changed is None:
                continue
            for i, (old, new) in enumerate(zip(before, _run(subject, changed), strict=True)):
                if old[0].shape != new[0].shape:
                    break  # padded to the length of another longest sample, which all rows see
                axis = subject.batch_axes[i]
                rows_of_s = differing_rows(old[0], new[0], axis)
                rows_read = differing_rows(old[1], new[1], 0)
                is_seen = bool(differing_rows(old[1], new[1], 0, _ROUNDING))
                seen[i].append(_Row(sample, rows_of_s, rows_read, is_seen))
    checks = [_judged(subject, i, rows) for i, rows in enumerate(seen)]
    if not all(check.holds for check in checks) and _mixes(subject, inputs, samples):
        evidence = "samples keep their order; the model itself lets them influence each other"
        return [
            c if "changing sample" not in c.evidence else Check(c.claim, True, evidence)
            for c in checks
        ]
    return checks


def _out_of_order_in(
    subject: Subject, inputs: Mapping[str, Tensor], before: list[tuple[Tensor, Tensor]]
) -> list[int]:
    """Return the layers whose rows do not follow the samples into another order."""
    after = _run(subject, reversed_rows(subject.arguments, inputs))
    pairs = zip(before, after, subject.batch_axes, strict=True)
    return [
        i
        for i, (old, new, axis) in enumerate(pairs)
        if differing_rows(old[0].flip(axis), new[0], axis)
    ]


def _mixes(subject: Subject, inputs: Mapping[str, Tensor], samples: Iterable[int]) -> bool:
    """Whether samples change each other's features in the model itself, as with shared norms."""
    with subject.mode(False):
        before = subject.features(inputs)
        for sample in samples:
            changed = with_row(subject.arguments, inputs, sample)
            if changed is not None:
                after = subject.features(changed)
                if before.shape != after.shape:
                    return True
                apart = (before - after).abs().movedim(subject.batch_axes[-1], 0)
                others = [row for row in range(len(apart)) if row != sample]
                if bool(apart[others].max() > 1e-6 * before.abs().max()):
                    return True
    return False


def differing_rows(old: Tensor, new: Tensor, axis: int, tolerance: float = _TOLERANCE) -> list[int]:
    """Return the rows along an axis in which two tensors differ by more than a part of the most."""
    apart = (old - new).abs().movedim(axis, 0).reshape(old.shape[axis], -1).double()
    apart = torch.nan_to_num(apart, nan=0.0)
    scale = torch.nan_to_num(old.abs().double(), nan=0.0, posinf=0.0).max()
    found = apart.amax(1) > tolerance * scale if apart.shape[1] else apart.sum(1) > 0
    return [int(row) for row in found.nonzero().flatten()]


def _run(subject: Subject, inputs: Mapping[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    subject.restart()
    return _read(subject, subject.streams(inputs))


def _read(subject: Subject, streams: Sequence[Stream]) -> list[tuple[Tensor, Tensor]]:
    """Return each layer's s and what its readout makes of it."""
    return [
        (stream.values, readout(stream))
        for stream, readout in zip(streams, subject.readouts, strict=True)
    ]


def _failed(subject: Subject, i: int, evidence: str, remedy: str = _REMEDY) -> Check:
    return Check(
        f"rows of layer {i + 1} are the samples", False, evidence, subject.place(i), remedy
    )


def _folded(subject: Subject, i: int, rows: int, count: int) -> Check:
    evidence = (
        f"a batch of {count} samples gives an s of {rows} rows: samples are folded into another "
        "axis, or are not the first axis of the batch"
    )
    return _failed(subject, i, evidence)


def _out_of_order(subject: Subject, i: int) -> Check:
    evidence = (
        "with the samples in the other order the rows of s are not in the other order: they are "
        "sorted, or not the samples"
    )
    return _failed(subject, i, evidence)


def _judged(subject: Subject, i: int, rows: list[_Row]) -> Check:
    for what, pick in (("s", 1), ("what the bridge reads", 2)):
        for row in rows:
            changed = row[pick]
            if isinstance(changed, list) and set(changed) - {row.sample}:
                others = ", ".join(map(str, changed))
                evidence = (
                    f"changing sample {row.sample} changes rows {others} of {what}: samples are "
                    "sorted, folded, mixed, or are not the first axis of the batch"
                )
                return _failed(subject, i, evidence)
    if rows and any(row.s for row in rows) and not any(row.is_seen for row in rows):
        return _failed(
            subject,
            i,
            "changing a sample changes its s, but not what the bridge reads of it",
            "Say which positions are padding: al.Example(x, padding=[...]) or keep=[...]; or give "
            "a readout of your own: readout=. Samples of the example that are alike in what is "
            "read show nothing: give ones that differ.",
        )
    tried = ", ".join(str(row.sample) for row in rows)
    evidence = f"changed samples: {tried}" if rows else "all samples are alike"
    return Check(f"rows of layer {i + 1} are the samples", True, evidence)

"""What a model does in training only: its layers, recorded in evaluation, do not."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from associated_learning.conversion.tracing.call import Call, Recording
from associated_learning.conversion.tracing.record import record

__all__ = ["training_branches"]


def training_branches(recording: Recording, times: Sequence[int]) -> list[str]:
    """Return the taken-apart modules whose own forward makes other calls in training.

    LayerDrop and stochastic depth are such branches where a model's own forward decides on them;
    inside a module that is in one layer as a whole they work as ever.

    Args:
        recording: The run in evaluation mode.
        times: The times of the cuts.
    """
    root = recording.root
    try:
        other = record(recording.model, root.args, root.kwargs, recording.inputs, in_training=True)
    except Exception:  # BatchNorm on too small an example, or a model that wants labels here
        return []
    return list(_branches(root, other.root, times))


def _branches(call: Call, other: Call, times: Sequence[int]) -> Iterator[str]:
    if not any(call.begin < time <= call.end for time in times):
        return
    for child, twin in itertools.zip_longest(call.children, other.children):
        if child is not None and child.begin >= times[-1]:
            return  # the head's part
        if child is None or twin is None or child.target != twin.target:
            yield call.place
            return
        yield from _branches(child, twin, times)

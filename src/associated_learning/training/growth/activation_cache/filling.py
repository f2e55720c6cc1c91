"""Filling a cache: every sample passes the frozen layers once."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from associated_learning.errors import InputError
from associated_learning.training.batch_stream import BatchSource
from associated_learning.training.growth.activation_cache.columns import Form, Rows, rows_of
from associated_learning.training.growth.activation_cache.frozen_encoders import FrozenEncoders
from associated_learning.training.growth.activation_cache.row_files import Writer
from associated_learning.training.growth.activation_cache.sample_census import (
    Batch,
    batches,
    census,
)

__all__ = ["Progress", "fill"]

Progress = Callable[[int, int], None]


def fill(
    folder: Path,
    encoders: FrozenEncoders,
    sources: Sequence[BatchSource],
    progress: Progress | None,
) -> Form:
    """Write what the layers give for all samples, and return the form of it.

    Raises:
        InputError: The samples do not stay the same, what the layers give for them cannot be
            stored, or the disk is too small.
    """
    # of the second epoch: what is not in the first one too will not stay the same either
    lengths = census(sources, 1)
    given = batches(sources, 0)
    first = next(given)
    s = encoders(first.x)
    form = Form(s, len(first.digests))
    _check_disk(folder, _estimate(first, rows_of(s, len(first.digests)), lengths), len(lengths))
    written: set[bytes] = set()
    with Writer(folder, form.columns) as writer:
        for batch in itertools.chain([first], given):
            if not lengths.keys() >= set(batch.digests):
                raise _unsteady()
            new = {d: i for i, d in enumerate(batch.digests) if d not in written}
            if new:
                writer.append(_rows(encoders, batch, form), list(new.values()), list(new))
            written |= new.keys()
            if progress is not None:
                progress(len(written), len(lengths))
        if len(written) < len(lengths):
            raise _unsteady()
        writer.finish(encoders.description())
    return form


def _rows(encoders: FrozenEncoders, batch: Batch, form: Form) -> Rows:
    rows = rows_of(encoders(batch.x), len(batch.digests))
    if rows.columns != form.columns:
        shapes = [[list(column.shape) for column in one] for one in (rows.columns, form.columns)]
        raise InputError(
            f"the top frozen layer gives rows of shapes {shapes[0]} for one batch and {shapes[1]} "
            "for another; expected the same for all. Texts of several lengths must come as "
            "PaddedSequence(values, lengths), and leave the layer as one."
        )
    return rows


def _unsteady() -> InputError:
    return InputError(
        "batches came that hold other samples in one epoch than in the next, by random "
        "augmentation or because the smaller last batch is left out (drop_last); a cache holds "
        "one activation for each sample. Make it of a source that does neither; one that leaves "
        "samples out can then be trained on."
    )


def _estimate(first: Batch, rows: Rows, lengths: Mapping[bytes, int]) -> int:
    """Return how many bytes all samples take, judged by a batch."""
    found = len(first.digests) if rows.lengths is None else int(rows.lengths.sum())
    tokens = -(-sum(lengths.values()) * found // sum(first.lengths))
    return sum(c.nbytes * (tokens if c.ragged else len(lengths)) for c in rows.columns)


def _check_disk(folder: Path, needed: int, samples: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"the activations of {samples} samples need {needed / 1e9:.3g} GB, but {folder.parent} "
            f"has {free / 1e9:.3g} GB free. Free disk space, name a folder on another disk, or "
            "freeze up to a layer that gives less."
        )

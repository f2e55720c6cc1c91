"""A data set as it was read: inputs untouched, labels already numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from associated_learning.data.dataset import Kind
from associated_learning.data.reading.encoded_samples import EncodedSamples
from associated_learning.data.tables.row_places import FileRows, Where

__all__ = ["RawSet", "RawSplit"]


class RawSplit(NamedTuple):
    """Inputs of one split and their labels.

    ``labels`` are class numbers ``[N]`` (int64), numbers to be told (float64), or of several labels
    a sample ``[N, k]`` of 0 and 1 (float32). ``inputs`` are texts, images (bytes or paths), pixels
    ``[N, C, H, W]``, or an array of numbers ``[N, F]``. ``where`` tells in messages where a row is;
    ``weights`` ``[N]`` how much each counts in training.
    """

    inputs: Any
    labels: Tensor
    where: Where = "the rows"
    weights: Tensor | None = None

    def subset(self, indices: Tensor) -> RawSplit:
        """Return the rows at ``indices``, in that order."""
        labels, where = self.labels[indices], self.where
        weights = None if self.weights is None else self.weights[indices]
        if isinstance(where, FileRows):
            where = where.subset(indices.tolist())
        return RawSplit(self._inputs(indices), labels, where, weights)

    def _inputs(self, indices: Tensor) -> Any:
        if isinstance(self.inputs, Tensor):
            return self.inputs[indices]
        if isinstance(self.inputs, np.ndarray):
            return self.inputs[indices.numpy()]
        if isinstance(self.inputs, EncodedSamples):
            return self.inputs.subset(indices)
        return [self.inputs[i] for i in indices.tolist()]


class RawSet(NamedTuple):
    """Splits by name (``train``, perhaps ``validation`` and ``test``) and what they hold."""

    kind: Kind
    label_names: tuple[str, ...]
    splits: Mapping[str, RawSplit]
    columns: Sequence[str] = ()

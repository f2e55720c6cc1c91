"""Samples in memory: images, texts and tables, stored compactly and gathered without loops."""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, Protocol, TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Self

from associated_learning.tensors.padded_sequence import PaddedSequence

__all__ = [
    "IGNORED",
    "ImageSamples",
    "Input",
    "Samples",
    "StoredSamples",
    "TableSamples",
    "TextSamples",
]

IGNORED = -100  # the label of what does not count
Input: TypeAlias = Tensor | PaddedSequence
X = TypeVar("X", Tensor, PaddedSequence)


class Samples(Protocol):
    """What `Batches` asks of samples: a length, labels, and inputs gathered by index.

    Gathering has two halves so that an augmentation can stand between them: ``gather``
    gives inputs in their natural range (images in [0, 1]), ``standardise`` what a network
    reads. ``take`` is both.
    """

    @property
    def labels(self) -> Tensor:
        """Class numbers ``[N]`` (int64)."""
        ...

    def __len__(self) -> int: ...

    def gather(self, indices: Tensor) -> Input:
        """Return the inputs at ``indices`` ``[B]`` in their natural range."""
        ...

    def standardise(self, x: Input) -> Input:
        """Return gathered inputs as a network reads them."""
        ...

    def take(self, indices: Tensor) -> Input:
        """Return the inputs at ``indices`` ``[B]`` as a network reads them."""
        ...

    def targets(self, indices: Tensor) -> Tensor:
        """Return y of the samples at ``indices``: class numbers ``[B]``, or ``[B, T]``."""
        ...

    def subset(self, indices: Tensor) -> Self:
        """Return new samples: those at ``indices`` ``[M]``, in that order."""
        ...

    def relabelled(self, labels: Tensor) -> Self:
        """Return the same inputs with other labels ``[N]``."""
        ...

    def to(self, device: torch.device | str) -> Self:
        """Return the same samples with their inputs stored on a device.

        Batches are then gathered there, so that only indices are copied for each. Labels, and
        the lengths of texts, stay on the CPU.
        """
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredSamples(ABC, Generic[X]):
    """What all samples in memory share: `Samples`, but for how inputs are gathered.

    Attributes:
        labels: y of each.
    """

    _stored: ClassVar[tuple[str, ...]]  # tensors that go to a device; of the first a row a sample
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def gather(self, indices: Tensor) -> X:
        """Return the inputs at ``indices`` ``[B]`` in their natural range."""

    def standardise(self, x: Any) -> X:
        """Return ``x``: only images are not stored as a network reads them."""
        found: X = x
        return found

    def take(self, indices: Tensor) -> X:
        """Return the inputs at ``indices`` ``[B]`` as a network reads them."""
        return self.standardise(self.gather(indices))

    def targets(self, indices: Tensor) -> Tensor:
        """Return y of the samples at ``indices``."""
        return self.labels[indices]

    def subset(self, indices: Tensor) -> Self:
        """Return new samples: those at ``indices``, in that order."""
        rows: Tensor = getattr(self, self._stored[0])
        changed = {self._stored[0]: rows[indices.to(rows.device)], "labels": self.labels[indices]}
        return replace(self, **changed)

    def relabelled(self, labels: Tensor) -> Self:
        """Return the same inputs with other labels."""
        return replace(self, labels=labels)

    def to(self, device: torch.device | str) -> Self:
        """Return the same samples with their inputs on a device."""
        return replace(self, **{name: getattr(self, name).to(device) for name in self._stored})


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageSamples(StoredSamples[Tensor]):
    """Images as bytes, normalised when a batch is taken.

    Attributes:
        pixels: ``[N, C, H, W]`` (uint8, 0 to 255).
        labels: ``[N]`` (int64).
        mean: Per channel ``[C]``, of the training split, in the range [0, 1].
        std: Per channel ``[C]``, likewise.

    Example:
        >>> import torch
        >>> samples = ImageSamples(
        ...     pixels=torch.tensor([[[[0, 255]]]], dtype=torch.uint8),
        ...     labels=torch.tensor([3]), mean=torch.tensor([0.5]), std=torch.tensor([0.5]),
        ... )
        >>> samples.take(torch.tensor([0])).tolist()
        [[[[-1.0, 1.0]]]]
    """

    _stored: ClassVar = ("pixels", "mean", "std")
    pixels: Tensor
    mean: Tensor
    std: Tensor

    def gather(self, indices: Tensor) -> Tensor:
        """Return ``[B, C, H, W]`` (float32) in the range [0, 1]."""
        return self.pixels.index_select(0, indices.to(self.pixels.device)).float().div_(255)

    def standardise(self, x: Any) -> Tensor:
        """Return ``(x - mean) / std`` per channel."""
        found: Tensor = (x - self.mean.view(-1, 1, 1)).div_(self.std.view(-1, 1, 1))
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class TextSamples(StoredSamples[PaddedSequence]):
    """Token ids of all texts in one flat array, padded only when a batch is taken.

    Attributes:
        tokens: All ids, text after text (int32).
        offsets: ``[N + 1]`` (int64); text ``i`` is ``tokens[offsets[i]:offsets[i + 1]]``.
        labels: ``[N]`` (int64).
        padding: Token id that fills the end of the shorter texts of a batch.

    Example:
        >>> import torch
        >>> samples = TextSamples(
        ...     tokens=torch.tensor([5, 6, 7, 8], dtype=torch.int32),
        ...     offsets=torch.tensor([0, 3, 4]), labels=torch.tensor([0, 1]),
        ... )
        >>> samples.take(torch.tensor([1, 0])).values.tolist()
        [[8, 0, 0], [5, 6, 7]]
    """

    _stored: ClassVar = ("tokens",)
    tokens: Tensor
    offsets: Tensor
    padding: int = 0

    @classmethod
    def of(cls, texts: Iterable[Sequence[int]], labels: Tensor, *, padding: int = 0) -> Self:
        """Return texts that come as token ids, one after the other."""
        tokens, lengths = array("i"), array("q")
        for ids in texts:
            tokens.extend(ids)
            lengths.append(len(ids))
        offsets = np.concatenate([[0], np.cumsum(np.asarray(lengths))])
        return cls(
            tokens=torch.from_numpy(np.array(tokens, dtype=np.int32)),
            offsets=torch.from_numpy(offsets.astype(np.int64)),
            labels=labels,
            padding=padding,
        )

    @classmethod
    def batch(cls, texts: Sequence[Sequence[int]], *, padding: int = 0) -> PaddedSequence:
        """Return texts that come as token ids, padded."""
        labels = torch.zeros(len(texts), dtype=torch.int64)
        return cls.of(texts, labels, padding=padding).take(torch.arange(len(texts)))

    @property
    def lengths(self) -> Tensor:
        """Tokens per text, ``[N]`` (int64)."""
        return self.offsets.diff()

    def gather(self, indices: Tensor) -> PaddedSequence:
        """Return ids ``[B, T]`` (int64), ``T`` the longest of the batch."""
        starts = self.offsets[indices]
        lengths = self.offsets[indices + 1] - starts
        positions = torch.arange(int(lengths.max()))
        places = (starts.unsqueeze(1) + positions).clamp_(max=len(self.tokens) - 1)
        beyond = (positions >= lengths.unsqueeze(1)).to(self.tokens.device)
        tokens = self.tokens[places.to(self.tokens.device)].long()
        return PaddedSequence(tokens.masked_fill_(beyond, self.padding), lengths)

    def subset(self, indices: Tensor) -> Self:
        """Return new samples: those at ``indices``, in that order."""
        lengths = self.lengths[indices]
        ends = lengths.cumsum(0)
        shift = (self.offsets[indices] - (ends - lengths)).repeat_interleave(lengths)
        tokens = self.tokens[(torch.arange(len(shift)) + shift).to(self.tokens.device)]
        offsets = torch.cat([torch.zeros(1, dtype=torch.int64), ends])
        return replace(self, tokens=tokens, offsets=offsets, labels=self.labels[indices])


@dataclass(frozen=True, kw_only=True, eq=False)
class TableSamples(StoredSamples[Tensor]):
    """Rows of numbers, already standardised with the statistics of the training split.

    Attributes:
        features: ``[N, F]`` (float32).
        labels: ``[N]`` (int64).

    Example:
        >>> import torch
        >>> samples = TableSamples(features=torch.eye(2), labels=torch.tensor([0, 1]))
        >>> samples.take(torch.tensor([1])).tolist()
        [[0.0, 1.0]]
    """

    _stored: ClassVar = ("features",)
    features: Tensor

    def gather(self, indices: Tensor) -> Tensor:
        """Return rows ``[B, F]`` (float32)."""
        return self.features.index_select(0, indices.to(self.features.device))

"""Minibatches like real ones: images with a pattern for each class, texts with telling words."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from associated_learning.tensors.padded_sequence import PaddedSequence

__all__ = ["Batch", "images", "texts"]

Batch = tuple[Any, Tensor]

_COMMON = 10  # how much rarer than the first word the next ones are: 1 / (rank + _COMMON)
_TELLING = 0.15  # share of the words that only one class uses


def images(count: int, *, batch: int, side: int, classes: int) -> list[Batch]:
    """Return ``count`` batches of RGB images: a smooth pattern for each class, and noise."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.randn(classes, 3, side // 8, side // 8, generator=generator)
    patterns = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
    found: list[Batch] = []
    for _ in range(count):
        y = torch.randint(classes, (batch,), generator=generator)
        noise = torch.randn(batch, 3, side, side, generator=generator)
        found.append((0.5 * patterns[y] + noise, y))
    return found


def texts(widths: list[int], *, batch: int, words: int, classes: int, spread: float) -> list[Batch]:
    """Return one batch of texts for each width; word frequencies fall as in real texts.

    Args:
        widths: Length of the longest text of each batch.
        batch: Number of texts.
        words: Size of the vocabulary; 0 is padding.
        classes: Number of classes.
        spread: Lengths lie between ``(1 - spread)`` of the width and the width.
    """
    generator = torch.Generator().manual_seed(2)
    frequencies = 1 / (torch.arange(1, words) + _COMMON)
    found: list[Batch] = []
    for width in widths:
        y = torch.randint(classes, (batch,), generator=generator)
        shape = (batch, width)
        ids = torch.multinomial(frequencies, batch * width, True, generator=generator).view(shape)
        telling = torch.rand(shape, generator=generator) < _TELLING
        ids = torch.where(telling, ids // classes * classes + y.unsqueeze(1), ids)
        shortest = int((1 - spread) * width)
        lengths = torch.randint(shortest, width + 1, (batch,), generator=generator)
        lengths[0] = width
        found.append((PaddedSequence(1 + ids.clamp(max=words - 2), lengths), y))
    return found

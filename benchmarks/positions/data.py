"""Real texts and images with an answer at every position."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from associated_learning.data.images.images import ImageFormat, decode
from associated_learning.data.reading.by_name_or_path import read_named
from associated_learning.tensors.padded_sequence import PaddedSequence

__all__ = ["Batches", "Split", "characters", "garments", "words"]

IGNORED = -100
_WORD = re.compile(r"[A-Za-z]+")


class Batches(NamedTuple):
    """Inputs and targets in batches; the order is a function of seed and epoch alone."""

    x: Any
    y: Tensor
    size: int
    seed: int | None = None

    def __len__(self) -> int:
        return len(self.y) // self.size

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Any, Tensor]]:
        """Yield the batches of an epoch; in their own order where there is no seed."""
        rows = torch.arange(len(self.y))
        if self.seed is not None:
            draw = torch.Generator().manual_seed(1000 * self.seed + epoch)
            rows = torch.randperm(len(self.y), generator=draw)
        for i in range(start, len(self)):
            chosen = rows[i * self.size : (i + 1) * self.size]
            yield self._taken(chosen), self.y[chosen]

    def _taken(self, rows: Tensor) -> Any:
        if isinstance(self.x, PaddedSequence):
            return PaddedSequence(self.x.values[rows], self.x.lengths[rows])
        return self.x[rows]


class Split(NamedTuple):
    """Batches for training and for validation, and the number of different inputs."""

    train: Batches
    validation: Batches
    known: int = 0


def words(root: str | None, seed: int, count: int = 9000, held_out: int = 1500) -> Split:
    """Return words in lower case, to be tagged as lower, Capitalised or UPPER as they stood.

    The label comes from the text itself (AG News): nobody annotated anything.
    """
    texts = [" ".join(map(str, _fields(t))) for t in _inputs("ag_news", root, count + held_out)]
    spelt = [_WORD.findall(text)[:32] for text in texts]
    spelt = [line for line in spelt if line]
    common = Counter(word.lower() for line in spelt[:count] for word in line).most_common(8000)
    numbers = {word: i for i, (word, _) in enumerate(common, start=2)}
    ids = torch.zeros(len(spelt), 32, dtype=torch.long)
    y = torch.full_like(ids, IGNORED)
    for row, line in enumerate(spelt):
        ids[row, : len(line)] = torch.tensor([numbers.get(word.lower(), 1) for word in line])
        y[row, : len(line)] = torch.tensor([_case(word) for word in line])
    lengths = torch.tensor([len(line) for line in spelt])
    parts = [
        Batches(PaddedSequence(ids[rows], lengths[rows]), y[rows], 32, own)
        for rows, own in ((slice(count), seed), (slice(count, None), None))
    ]
    return Split(*parts, known=len(numbers) + 2)


def _case(word: str) -> int:
    if len(word) > 1 and word.isupper():
        return 2
    return int(word[0].isupper())


def garments(root: str | None, seed: int, count: int = 3000, held_out: int = 600) -> Split:
    """Return canvases of 48 x 48 with two garments of Fashion-MNIST, and the class of each pixel.

    Class 0 is the ground; a garment covers what lies below it.
    """
    found = read_named("fashion_mnist", data_root=root).splits["train"]
    images = decode(list(found.inputs[: 2 * (count + held_out)]), ImageFormat(1, 28, 28))
    draw = np.random.default_rng(0)
    x = torch.zeros(count + held_out, 1, 48, 48)
    y = torch.zeros(count + held_out, 48, 48, dtype=torch.long)
    for i, (image, label) in enumerate(zip(images, found.labels.tolist(), strict=False)):
        top, left = draw.integers(0, 21, 2)
        place = (slice(top, top + 28), slice(left, left + 28))
        seen = image[0] > 25
        x[(i // 2, 0, *place)][seen] = image[0][seen].float() / 255
        y[(i // 2, *place)][seen] = label + 1
    return Split(Batches(x[:count], y[:count], 32, seed), Batches(x[count:], y[count:], 32))


def characters(
    root: str | None, seed: int, length: int, size: int, steps: int, name: str = "ag_news"
) -> Split:
    """Return blocks of characters of a set of texts; the target at each is the next character.

    The alphabet is that of AG News, so that a model of it can go on with other texts.
    """
    needed = length * size * steps + 60 * length * 32
    news = _joined("ag_news", root)
    letters = sorted({letter for letter, n in Counter(news).most_common(95)})
    text = news if name == "ag_news" else _joined(name, root)
    numbers = {letter: i for i, letter in enumerate(letters)}
    ids = torch.tensor([numbers[letter] for letter in text[: needed + 1] if letter in numbers])
    blocks = len(ids) // length - 1
    x = ids[: blocks * length].view(blocks, length)
    y = ids[1 : blocks * length + 1].view(blocks, length)
    held_out = 60 * 32
    train = Batches(x[:-held_out], y[:-held_out], size, seed)
    return Split(train, Batches(x[-held_out:], y[-held_out:], 32), known=len(letters))


def _joined(name: str, root: str | None) -> str:
    return "\n".join(" ".join(map(str, _fields(t))) for t in _inputs(name, root, 40_000))


def _inputs(name: str, root: str | None, count: int) -> list[Any]:
    return list(read_named(name, data_root=root).splits["train"].inputs[:count])


def _fields(text: Any) -> tuple[Any, ...]:
    return text if isinstance(text, tuple) else (text,)

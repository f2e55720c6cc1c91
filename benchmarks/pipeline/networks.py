"""The networks that are trained: encoders in AL form, the same encoders with BP's head, data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from batches import Batch, images, texts
from torch import nn

import associated_learning as al
from associated_learning import models

__all__ = ["NETWORKS", "Lengths", "Network"]

Lengths = Literal["fixed", "varying"]

_WORDS, _TOPICS, _OBJECTS = 10_000, 4, 10
_DISTINCT = 16  # batches that differ; a run goes round them


@dataclass(frozen=True, kw_only=True)
class Network:
    """One model in both forms, and its data.

    Attributes:
        model: Makes the model in backpropagation form.
        batches: Makes the batches: all of one width, or of different ones.
        classes: Number of classes.
        readouts: What the bridges read, one a layer.
        texts: Whether batches can differ in width.
    """

    model: Callable[[], models.LayeredModel]
    batches: Callable[[Lengths], list[Batch]]
    classes: int
    readouts: list[nn.Module]
    texts: bool

    def target(self) -> al.Classes:
        """Return what y is."""
        return al.Classes(self.classes)

    def plain(self) -> models.LayeredModel:
        """Return the model for backpropagation, with the same weights in every process."""
        torch.manual_seed(0)
        return self.model()

    def associated(self) -> al.ALNetwork:
        """Return the AL form on encoders of the same shapes and weights."""
        encoders, (x, _) = self.plain().layers, self.batches("fixed")[0]
        return al.al_form(encoders, x, self.target(), readout=self.readouts, association=None)

    def epoch(self, lengths: Lengths, steps: int) -> list[Batch]:
        """Return the batches of a run."""
        distinct = self.batches(lengths)
        return [distinct[i % len(distinct)] for i in range(steps)]


def _cnn() -> models.LayeredModel:
    """Section 6.6: eight 3x3 convolutions on CIFAR's size, a layer each."""
    pairs = models.CNN(in_channels=3, image_size=32, activation="elu").layers
    parts = [part for pair in pairs for part in pair.children()]
    layers = [nn.Sequential(*parts[i : i + 2]) for i in range(0, len(parts), 2)]
    return models.LayeredModel(layers, models.GlobalAverage(), nn.Linear(64, _OBJECTS))


def _bilstm() -> models.LayeredModel:
    return models.BiLSTM(
        vocabulary_size=_WORDS, embedding_dim=200, hidden=128, num_layers=4, out_features=_TOPICS
    )


def _transformer() -> models.LayeredModel:
    return models.Transformer(
        vocabulary_size=_WORDS,
        embedding_dim=256,
        heads=8,
        feedforward=256,
        num_layers=4,
        out_features=_TOPICS,
    )


def _images(lengths: Lengths) -> list[Batch]:
    return images(_DISTINCT, batch=32, side=32, classes=_OBJECTS)


def _texts(longest: int) -> Callable[[Lengths], list[Batch]]:
    """Return batches as wide as ``longest``, or from half of it to one and a half times it."""

    def make(lengths: Lengths) -> list[Batch]:
        widths, spread = [longest] * _DISTINCT, 0.5
        if lengths == "varying":  # as batches of texts of similar length come
            order = torch.randperm(_DISTINCT, generator=torch.Generator().manual_seed(3))
            steps = order.double() / (_DISTINCT - 1)
            widths, spread = [round(longest * (0.5 + float(step))) for step in steps], 0.2
        return texts(widths, batch=32, words=_WORDS, classes=_TOPICS, spread=spread)

    return make


NETWORKS: dict[str, Network] = {
    "cnn": Network(
        model=_cnn,
        batches=_images,
        classes=_OBJECTS,
        readouts=[models.GlobalAverage()] * 8,
        texts=False,
    ),
    "bilstm": Network(
        model=_bilstm,
        batches=_texts(48),
        classes=_TOPICS,
        readouts=[models.MaskedMean(), *[models.StateConcat()] * 4],
        texts=True,
    ),
    "transformer": Network(
        model=_transformer,
        batches=_texts(32),
        classes=_TOPICS,
        readouts=[models.MaskedMean()] * 5,
        texts=True,
    ),
}

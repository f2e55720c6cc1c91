"""The pairs that are timed: one model's encoders in AL form, and the model itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import associated_learning as al
from associated_learning import models
from associated_learning.tensors.nested import to_device

__all__ = ["PAIRS", "Pair"]

_VOCABULARY, _LENGTH, _CLASSES = 30_000, 60, 4


class Pair(NamedTuple):
    """Two networks on the same encoders (in shape; each has its own weights) and a batch."""

    al: al.Network
    bp: al.Network
    x: Any
    y: Tensor

    def to(self, device: torch.device | str) -> Pair:
        """Return networks and batch on a device."""
        x, y = to_device((self.x, self.y), device)
        return Pair(self.al.to(device), self.bp.to(device), x, y)


def _pair(make: Callable[[], models.LayeredModel], x: Any, classes: int, **form: Any) -> Pair:
    target = al.Classes(classes)
    associated = al.al_form(make().layers, x, target, association=None, **form)
    y = torch.randint(classes, (len(x.values if isinstance(x, al.PaddedSequence) else x),))
    return Pair(associated, al.BPNetwork(make(), target), x, y)


def _cnn(layers: int) -> Pair:
    """The paper's CNN: eight convolutions, cut into 2, 4 or 8 layers."""

    def make() -> models.LayeredModel:
        encoders = _cut(models.CNN(in_channels=1, image_size=28).layers, layers)
        return models.LayeredModel(encoders, models.GlobalAverage(), nn.Linear(64, 10))

    return _pair(make, torch.randn(64, 1, 28, 28), 10)


def _cut(pairs: Iterable[nn.Module], count: int) -> list[nn.Sequential]:
    """Cut the paper's four layers (convolution, activation, twice) into ``count`` layers."""
    parts = [part for pair in pairs for part in pair.children()]
    size = len(parts) // count
    return [nn.Sequential(*parts[i : i + size]) for i in range(0, len(parts), size)]


def _cnn_as_printed() -> Pair:
    """Section 6.6: bridges of two dense layers on the flattened image, and BP's head alike."""
    x = torch.randn(64, 1, 28, 28)
    form: dict[str, Any] = {"readout": models.Flatten(), "bridge": "mlp", "latent": 256}
    return _pair(lambda: models.CNN(in_channels=1, image_size=28), x, 10, **form)


def _bilstm(layers: int) -> Pair:
    def make() -> models.LayeredModel:
        return models.BiLSTM(
            vocabulary_size=_VOCABULARY, hidden=300, num_layers=layers, out_features=_CLASSES
        )

    readout = [models.MaskedMean(), *[models.StateConcat()] * layers]
    return _pair(make, _texts(64), _CLASSES, readout=readout)


def _transformer(layers: int) -> Pair:
    def make() -> models.LayeredModel:
        return models.Transformer(
            vocabulary_size=_VOCABULARY, feedforward=256, num_layers=layers, out_features=_CLASSES
        )

    return _pair(make, _texts(128), _CLASSES)


def _texts(batch: int) -> al.PaddedSequence:
    """Random words; lengths from 20 to 60, the longest included, as after sorting by length."""
    lengths = torch.randint(20, _LENGTH + 1, (batch,))
    lengths[0] = _LENGTH
    ids = torch.randint(1, _VOCABULARY, (batch, _LENGTH))
    return al.PaddedSequence(ids, lengths)


PAIRS: dict[str, Callable[[], Pair]] = {
    "cnn": lambda: _cnn(2),
    "cnn, 4 layers": lambda: _cnn(4),
    "cnn, 8 layers": lambda: _cnn(8),
    "cnn, 4 layers, bridges as printed": _cnn_as_printed,
    "bilstm": lambda: _bilstm(2),
    "bilstm, 4 layers": lambda: _bilstm(4),
    "transformer": lambda: _transformer(2),
    "transformer, 6 layers": lambda: _transformer(6),
}

"""A model of the zoo before and after conversion."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from typing import Any

import torch
from architecture import CLASSES, Architecture, Batch
from features import call
from torch import Tensor, nn

import associated_learning as al

__all__ = ["EXAMPLE", "CheckError", "Specimen", "convert"]

EXAMPLE = 4
"""Samples of the batch that conversion is shown."""


class CheckError(Exception):
    """A converted model breaks a law; the message says which and where."""


@dataclass(frozen=True, kw_only=True)
class Specimen:
    """A converted model beside the model that it was.

    Attributes:
        entry: Its row of the zoo.
        original: A copy made before conversion, in evaluation mode.
        net: The converted model.
        seconds: What conversion took.
    """

    entry: Architecture
    original: nn.Module
    net: Any
    seconds: float

    def labelled(self, n: int, number: int) -> tuple[Batch, Tensor]:
        """Return a batch and its labels."""
        x = self.entry.batch(n, number)
        return x, self.entry.labels(x) if self.entry.labels else torch.arange(n) % CLASSES


def convert(entry: Architecture, seed: int = 0) -> Specimen:
    """Build a model and convert it, cut where its entry says.

    Raises:
        CheckError: There are fewer than two layers.
    """
    torch.manual_seed(seed)
    model = entry.build()
    _settle(model, entry.batch(2 * EXAMPLE, 0))
    original = copy.deepcopy(model).eval()
    begin = time.perf_counter()
    net = al.convert(model, entry.batch(EXAMPLE, 0), target=entry.target, at=entry.at)
    seconds = time.perf_counter() - begin
    if net.num_layers < 2:
        raise CheckError(f"{net.num_layers} layer; expected at least 2")
    return Specimen(entry=entry, original=original, net=net, seconds=seconds)


def _settle(model: nn.Module, x: Batch) -> None:
    """Give BatchNorm the statistics of a batch: a fresh one lets activations die out with depth."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        call(model.train(), x)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum

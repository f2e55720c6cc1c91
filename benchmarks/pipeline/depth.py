"""Networks of any depth, and what their layers and their pipelines take."""

from __future__ import annotations

import statistics
import time
from typing import NamedTuple

import torch
from batches import Batch, texts
from clock import BlockClock
from torch import Tensor, nn

import associated_learning as al
from associated_learning import models
from associated_learning.state.optimizers import make_optimizers
from training import LEARNING_RATE, Batches, Watch

__all__ = ["Epoch", "deep", "layer_seconds", "plain_seconds", "real_epoch", "text", "waiting"]

_WORDS, _CLASSES, _WIDTH = 2_000, 4, 128
_WARM_UP = 2


def text() -> Batch:
    """Return the batch that the deep networks train on: 32 texts of up to 32 words."""
    return texts([32], batch=32, words=_WORDS, classes=_CLASSES, spread=0.5)[0]


def _transformer(depth: int) -> models.LayeredModel:
    torch.manual_seed(0)
    model = models.Transformer(
        vocabulary_size=_WORDS,
        embedding_dim=_WIDTH,
        heads=4,
        feedforward=2 * _WIDTH,
        num_layers=depth,
        out_features=_CLASSES,
    )
    embedding, first, *others = model.layers
    # one layer for both, so that all layers take about the same time
    return models.LayeredModel(
        [nn.Sequential(embedding, first), *others], model.readout, model.head
    )


def deep(depth: int) -> al.ALNetwork:
    """Return so many Transformer layers, the lowest with the embedding."""
    return al.al_form(_transformer(depth).layers, text()[0], al.Classes(_CLASSES), association=None)


def layer_seconds(depth: int, steps: int) -> list[list[float]]:
    """Return the seconds that each layer's update takes in one process, one value a step."""
    net, (x, y) = deep(depth), text()
    blocks, t0 = net.blocks(), net.target.encode(y)
    optimizers, rows = make_optimizers(blocks, lr=LEARNING_RATE), list[list[float]]()
    for step in range(_WARM_UP + steps):
        s, t, row = x, t0, list[float]()
        for i, (block, optimizer) in enumerate(zip(blocks, optimizers, strict=True), start=1):
            begin = time.perf_counter()
            s, t, _ = al.update_layer(block, optimizer, s, t, number=i, step=step)
            row.append(time.perf_counter() - begin)
        rows.append(row)
    return [list(column) for column in zip(*rows[_WARM_UP:], strict=True)]


def plain_seconds(depth: int, steps: int) -> float:
    """Return the median of backpropagation's seconds a step in one process."""
    net, (x, y) = al.BPNetwork(_transformer(depth), al.Classes(_CLASSES)), text()
    blocks, t0, seconds = net.blocks(), net.target.encode(y), list[float]()
    optimizers = make_optimizers(blocks, lr=LEARNING_RATE)
    for step in range(_WARM_UP + steps):
        begin = time.perf_counter()
        al.update_network(blocks, optimizers, x, t0, step=step)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds[_WARM_UP:])


class Waiting(nn.Module):
    """An encoder that waits, as if another device computed."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.linear = nn.Linear(4, 4)

    def forward(self, s: Tensor) -> Tensor:
        """Return ``[B, 4]``."""
        time.sleep(self.seconds)
        out: Tensor = self.linear(s)
        return out


def waiting(depth: int, seconds: float) -> al.ALNetwork:
    """Return a network whose layers wait so long in every update."""
    encoders = [Waiting(0.0) for _ in range(depth)]
    net = al.al_form(encoders, torch.zeros(2, 4), al.Classes(2), latent=4)
    for encoder in encoders:
        encoder.seconds = seconds  # only now: making the network runs them too
    return net


class Epoch(NamedTuple):
    """An epoch that a real pipeline ran.

    Attributes:
        seconds: From the first batch to the last one's end.
        layers: Seconds of each layer's update, their mean over the batches.
    """

    seconds: float
    layers: list[float]


def real_epoch(net: al.ALNetwork, sizes: list[int], batch: Batch, steps: int) -> Epoch:
    """Train for an epoch by the threads of the library's pipeline."""
    watch, batches = Watch(), Batches([batch] * steps)
    trainer = al.Trainer(epochs=1, lr=LEARNING_RATE, executor="threads", stages=sizes)
    with BlockClock(net.blocks()) as clock:
        trainer.fit(net, batches, callbacks=[watch])
    return Epoch(watch.end - batches.begin, [wall / steps for wall in clock.wall])

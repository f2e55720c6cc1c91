"""What the last layer of a network says of a data set, by whichever method it was trained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

import associated_learning as al
from associated_learning.models import LayeredModel
from associated_learning.tensors.chain import encode
from associated_learning.tensors.modes import evaluating


class Answers(NamedTuple):
    """The last layer on N samples.

    Attributes:
        features: What bridge or head reads, ``[N, P]``.
        logits: ``[N, C]``.
        labels: Those that the data set has, ``[N]``.
    """

    features: Tensor
    logits: Tensor
    labels: Tensor


def answers(net: al.Network, batches: Iterable[tuple[Any, Tensor]]) -> Answers:
    """Run a network on a data set."""
    with evaluating(net):
        found = [(*_last_layer(net, x), y) for x, y in batches]
    return Answers(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _last_layer(net: al.Network, x: Any) -> tuple[Tensor, Tensor]:
    """Return features and logits of a batch."""
    if isinstance(net, al.ALNetwork):
        top = net.al_layers()[-1]
        features = top.readout(encode(net.encoders(), x))
        return features, net.decode(top.b(features), net.num_layers)
    assert isinstance(net, al.BPNetwork)
    assert isinstance(net.model, LayeredModel)
    features = net.model.readout(encode(net.model.layers, x))
    return features, net.model.head(features)

"""Layers that stand for a model, right or wrong in one way each, as the checks get them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from associated_learning.conversion.checks.subject import Subject
from associated_learning.conversion.readouts import StreamReadout
from associated_learning.conversion.slicing.slice import Stream
from associated_learning.conversion.tracing.arguments import Arguments

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """Two maps and a head; what stands between them is given."""

    def __init__(self, between: Callable[[Tensor, bool], Tensor] = lambda h, mode: h) -> None:
        super().__init__()
        self.a, self.b, self.out = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 3)
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        h = self.between(self.a(x).tanh(), self.training)
        return self.out(self.b(h).tanh())


class Encoder(nn.Module):
    """A layer's f: a module and what is done with its output."""

    def __init__(self, module: nn.Module, then: Callable[[Tensor, bool], Tensor]) -> None:
        super().__init__()
        self.module = module
        self.then = then

    def forward(self, x: Any) -> Stream:
        values = x["x"] if isinstance(x, Mapping) else x.values
        return Stream(self.then(self.module(values).tanh(), self.training), {})


def subject(
    model: Net,
    first: Callable[[Tensor, bool], Tensor] = lambda h, mode: h,
    second: Callable[[Tensor, bool], Tensor] = lambda h, mode: h,
    *,
    maps: tuple[nn.Module, nn.Module] | None = None,
    readout: nn.Module | None = None,
    batch_axis: int = 0,
    x: Any = X,
) -> Subject:
    """Return a model beside two layers, which do the same unless told otherwise."""
    a, b = maps or (model.a, model.b)
    read = [StreamReadout(nn.Identity()), StreamReadout(nn.Identity())]
    return Subject(
        model=model,
        arguments=Arguments.of(model, x),
        head=["out"],
        encoders=[Encoder(a, first), Encoder(b, second)],
        readouts=read if readout is None else [readout, read[1]],
        batch_axes=[batch_axis, 0],
        names=["", "b"],
    )

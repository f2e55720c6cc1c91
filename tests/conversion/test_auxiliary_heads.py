"""Networks with auxiliary heads, which run in training alone: GoogLeNet, Inception."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

import associated_learning as al


class Outputs(NamedTuple):
    """What GoogLeNet returns in training."""

    logits: Tensor
    aux2: Tensor
    aux1: Tensor


class Inception(nn.Module):
    """Two branches side by side."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.narrow = nn.Sequential(nn.Conv2d(channels, 4, 1), nn.BatchNorm2d(4), nn.ReLU())
        self.wide = nn.Sequential(
            nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.narrow(x), self.wide(x)], 1)


class Auxiliary(nn.Module):
    """A classifier on the way, with dropout of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.drop, self.fc = nn.Conv2d(8, 4, 1), nn.Dropout(0.7), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.drop(self.conv(x).relu().mean((2, 3))))


class GoogLeNet(nn.Module):
    """A small one, with its two auxiliary heads."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), Inception(8), Inception(8)
        self.c, self.aux1, self.aux2 = Inception(8), Auxiliary(), Auxiliary()
        self.drop, self.fc = nn.Dropout(0.3), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor | Outputs:
        x = self.a(self.conv(x).relu())
        aux1 = self.aux1(x) if self.training else None
        x = self.b(x)
        aux2 = self.aux2(x) if self.training else None
        x = self.fc(self.drop(self.c(x).mean((2, 3))))
        return x if aux1 is None or aux2 is None else Outputs(x, aux2, aux1)


@pytest.mark.parametrize("at", [["b", "c"], ["a", "b", "c"], 2])
def test_auxiliary_heads_are_left_out_and_nothing_else(at: list[str] | int) -> None:
    """Values and gradients in training are the model's, with the same random numbers."""
    x, y = torch.randn(6, 3, 8, 8), torch.arange(6) % 3
    net = al.convert(GoogLeNet(), x, target=al.Classes(3), at=at, balance="parameters")
    assert set(net.plan.dropped) == {"aux1", "aux2", "fc"}
    report = str(al.verify(net, (x, y)))
    assert "layers learn as the model does, in training" in report
    al.Trainer(epochs=1).fit(net, al.LoaderBatches([(x, y)]))
    al.verify(net, (x, y))

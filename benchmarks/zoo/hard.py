"""Models that are hard to take apart: one kind each of what public bug reports are about."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from architecture import CLASSES, Architecture, Batch, generator
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["HARD"]


class _Blocks(nn.Module):
    """All blocks in one module, called with a number, as Fourier neural operators do."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(16, 16) for _ in range(3))

    def forward(self, x: Tensor, i: int) -> Tensor:
        return self.maps[i](x).relu()


class NumberedBlocks(nn.Module):
    """Calls one module for every block."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.blocks, self.out = nn.Linear(8, 16), _Blocks(), nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for i in range(3):
            x = self.blocks(x, i)
        return self.out(x)


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.sign(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient


class _Maps(nn.Module):
    """Three maps and a head, for what stands between them."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 16)
        self.out = nn.Linear(16, CLASSES)


class StraightThrough(_Maps):
    """A backward of its own between the maps."""

    def forward(self, x: Tensor) -> Tensor:
        x = _Sign.apply(self.a(x))
        return self.out(self.c(_Sign.apply(self.b(x))).relu())


class TrainingScale(_Maps):
    """A number that only training has."""

    def forward(self, x: Tensor) -> Tensor:
        scale = 0.5 if self.training else 1.0
        return self.out(self.c((self.b(self.a(x).relu()) * scale).relu()).relu())


class Padded(_Maps):
    """Pads where the length needs it, and scales by its root."""

    def forward(self, x: Tensor) -> Tensor:
        h, missing = self.a(x).relu(), -x.shape[1] % 4
        if missing > 0:
            h = F.pad(h, (0, 0, 0, missing))
        h = self.b(h).relu() / math.sqrt(x.shape[1])
        return self.out(self.c(h[:, : min(x.shape[1], 20)]).relu().mean(1))


class PaddingMask(nn.Module):
    """An input named mask that is true at padding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.out = nn.Embedding(50, 16), nn.Linear(16, CLASSES)
        self.a, self.b = nn.Linear(16, 16), nn.Linear(16, 16)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        h = self.b(self.a(self.embed(x)).tanh()).tanh()
        h = h.masked_fill(mask[..., None], 0).sum(1) / (~mask).sum(1, keepdim=True)
        return self.out(h)


class CausalMask(nn.Module):
    """A mask that is the same for all samples."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.out = nn.Embedding(50, 16), nn.Linear(16, CLASSES)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(16, 2, 32, batch_first=True) for _ in range(3)
        )

    def forward(self, ids: Tensor, src_mask: Tensor) -> Tensor:
        h = self.embed(ids)
        for block in self.blocks:
            h = block(h, src_mask=src_mask)
        return self.out(h[:, -1])


class PointNet(nn.Module):
    """Points that are turned by a matrix of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.turn, self.c1, self.c2 = nn.Linear(3, 9), nn.Conv1d(3, 16, 1), nn.Conv1d(16, 24, 1)
        self.fc1, self.fc2 = nn.Linear(24, 16), nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        turn = self.turn(x.mean(2)).view(-1, 3, 3)
        x = torch.bmm(x.transpose(2, 1), turn).transpose(2, 1)
        x = F.relu(self.c2(F.relu(self.c1(x)))).max(2)[0]
        return self.fc2(F.relu(self.fc1(x)))


def _rows(n: int, number: int) -> Batch:
    return torch.randn(n, 8, generator=generator(n, number))


def _sequences(n: int, number: int) -> Batch:
    return torch.randn(n, 16, 8, generator=generator(n, number))


def _points(n: int, number: int) -> Batch:
    return torch.randn(n, 3, (32, 32, 50)[number], generator=generator(n, number))


def _ids(n: int, number: int) -> Tensor:
    return torch.randint(1, 50, (n, 10), generator=generator(n, number))


def _padded(n: int, number: int) -> Batch:
    lengths = torch.arange(n) % 8 + 3
    return _ids(n, number), torch.arange(10) >= lengths[:, None]


def _causal(n: int, number: int) -> Batch:
    return _ids(n, number), nn.Transformer.generate_square_subsequent_mask(10)


def _entry(kind: type[nn.Module], batch: Callable[[int, int], Batch]) -> Architecture:
    return Architecture(name=kind.__name__, kind="hard", build=kind, batch=batch)


HARD = [
    _entry(NumberedBlocks, _rows),
    _entry(StraightThrough, _rows),
    _entry(TrainingScale, _rows),
    _entry(Padded, _sequences),
    _entry(PaddingMask, _padded),
    _entry(CausalMask, _causal),
    _entry(PointNet, _points),
]

"""Small models with what makes conversion hard, one thing each."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Block(nn.Module):
    """A residual block with BatchNorm, dropout and a function in place."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.drop = nn.Dropout(0.3)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x + self.drop(self.conv(self.norm(x))))


def residual_cnn() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True), Block(8), nn.MaxPool2d(2), Block(8),
        nn.Flatten(), nn.Dropout(0.2), nn.Linear(8 * 16, 5),
    )  # fmt: skip


class UNet(nn.Module):
    """A connection jumps from `down` to `up`."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 4, 3, padding=1)
        self.middle = nn.Conv2d(4, 4, 3, padding=1)
        self.inner = nn.Conv2d(4, 4, 3, padding=1)
        self.up = nn.Conv2d(8, 4, 3, padding=1)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        a = self.down(x).relu()
        b = self.up(torch.cat([a, self.inner(self.middle(a).relu())], 1))
        return self.head(b.mean((2, 3)))


class Biased(nn.Module):
    """As T5: the first block makes a bias of its own parameters, which all blocks use.

    Takes keyword arguments, a mask among them; functions with ``training=`` and sizes that
    depend on the batch stand between the blocks.
    """

    class Block(nn.Module):
        def __init__(self, first: bool) -> None:
            super().__init__()
            self.linear = nn.Linear(8, 8)
            self.bias = nn.Embedding(20, 8) if first else None

        def forward(self, h: Tensor, mask: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
            if bias is None:
                assert self.bias is not None
                bias = self.bias(torch.arange(h.shape[1], device=h.device))
            return h + torch.tanh(self.linear(h + bias)) * mask, bias

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(30, 8)
        self.blocks = nn.ModuleList(Biased.Block(i == 0) for i in range(3))
        self.head = nn.Linear(8, 5)

    def forward(self, *, ids: Tensor, attention_mask: Tensor, scale: float = 1.0) -> dict[str, Any]:
        count, length = ids.shape
        mask = attention_mask.view(count, length, 1).to(torch.float32)
        h, bias = self.embed(ids) * scale, None
        for block in self.blocks:
            h, bias = block(h, mask=mask, bias=bias)
            h = nn.functional.dropout(h, 0.2, training=self.training)
            h = h.reshape(count * length, 8).reshape(count, length, -1)
        return {"logits": self.head(h.mean(1)), "hidden": h}


class Tied(nn.Module):
    """One block, called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.again = nn.Linear(8, 8)
        self.middle = nn.Linear(8, 8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        h = self.again(self.first(x).tanh()).tanh()
        return self.head(self.again(self.middle(h).tanh()).tanh())


class Counted(nn.Module):
    """One BatchNorm, called before and after the second map."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.norm = nn.BatchNorm1d(8, affine=False)
        self.second = nn.Linear(8, 8)
        self.third = nn.Linear(8, 8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.first(x)).tanh()
        return self.head(self.third(self.norm(self.second(h)).tanh()))


class Branching(nn.Module):
    """Its own forward looks at the data between its maps."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        if h.mean() > 0:
            h = h * 2
        return self.head(self.second(h).tanh())


class Remembering(nn.Module):
    """Its own forward keeps a value on itself."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        self.last = self.first(x)
        return self.head(self.second(self.last).tanh())


class Messenger(nn.Module):
    """An object that is no tensor goes from map to map."""

    class Note:
        def __init__(self, value: Tensor) -> None:
            self.value = value

    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(8, 8)

        def forward(self, h: Tensor, note: Messenger.Note) -> Tensor:
            return self.linear(h + note.value)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 8), Messenger.Reader()
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        return self.head(self.second(h, Messenger.Note(torch.ones(8))).tanh())


class Worded(nn.Module):
    """Its answer is no tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> str:
        return f"{self.second(self.first(x)).shape[0]} samples"


class TimeFirst(nn.Module):
    """Activations ``[T, B, D]`` between its maps."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x.transpose(0, 1)).tanh()
        return self.head(self.second(h).tanh().mean(0))


def dense(width: int = 8) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(6, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(),
        nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 5),
    )  # fmt: skip

"""Tensors and containers that a forward writes into: views, buffers, live lists, constants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import associated_learning as al
from conversion.oracle import Maps, check_as_the_model

X = torch.randn(6, 8)
SCALE = torch.full((16,), 3.0)


class View(Maps):
    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        whole = h.new_zeros(h.shape)
        whole[:, :8].copy_(self.b(h)[:, :8])
        part = whole[:, 8:]
        part.add_(h[:, 8:])
        scores: Tensor = self.out(self.c(whole).relu())
        return scores


class Detached(Maps):
    def forward(self, x: Tensor) -> Tensor:
        h = self.b(self.a(x))
        kept = torch.zeros(h.shape)
        kept.detach()[:, ::2] = h[:, ::2].detach()
        scores: Tensor = self.out(self.c(h + kept).relu())
        return scores


class Buffer(Maps):
    """Writes an activation into a buffer, and reads it later."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("memory", torch.zeros(16))

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        self.memory.copy_(h.detach().mean(0))
        scores: Tensor = self.out(self.c(self.b(h) + self.memory).relu())
        return scores


class LiveList(Maps):
    """Hands a list on that it appends to later."""

    def forward(self, x: Tensor) -> Tensor:
        states = [self.a(x)]
        for block in (self.b, self.c):
            states.append(block(torch.cat(states[-1:], 1)).relu())
            states[0] = states[-1]
        scores: Tensor = self.out(states.pop())
        return scores


class Exchange(nn.Module):
    """Writes into the list that it got, and returns another."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(16, 16) for _ in range(2))

    def forward(self, states: Any) -> Any:
        for i, block in enumerate(self.maps):
            states[i] = block(states[i]).relu()
        return [states[0] + states[1], states[1] - states[0]]


class Exchanging(Maps):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Exchange(), Exchange()

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        states = self.second(self.first([h, h * 2]))
        scores: Tensor = self.out(self.c(self.b(states[0] + states[1]).relu()).relu())
        return scores


class Step(nn.Linear):
    """Changes a dictionary in place and returns it."""

    def forward(self, state: dict[str, Tensor]) -> dict[str, Tensor]:  # type: ignore[override]
        state["h"] = super().forward(state["h"]).relu()
        return state


class Dictionary(Maps):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = Step(8, 16), Step(16, 16), Step(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.out(self.c(self.b(self.a({"h": x})))["h"])
        return scores


@dataclass
class Note:
    """A container of a type of its own, which changes after it was handed on."""

    h: Tensor
    scale: Tensor


class Reader(nn.Linear):
    def forward(self, note: Note) -> Tensor:  # type: ignore[override]
        return super().forward(note.h * note.scale)


class Noting(Maps):
    def __init__(self) -> None:
        super().__init__()
        self.b, self.c = Reader(16, 16), Reader(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        note = Note(self.a(x), torch.ones(16))
        note.h = self.b(note)
        note.scale = SCALE
        scores: Tensor = self.out(self.c(note).relu())
        return scores


class Constants(Maps):
    def __init__(self) -> None:
        super().__init__()
        self.constants = [torch.ones(16), {"two": torch.full((16,), 2.0)}]

    def forward(self, x: Tensor) -> Tensor:
        h = self.b(self.a(x) * self.constants[1]["two"])  # type: ignore[call-overload,index]
        scores: Tensor = self.out(self.c(h * SCALE).relu())
        return scores


@pytest.mark.parametrize(
    "model", [View, Detached, LiveList, Exchanging, Dictionary, Noting, Constants]
)
def test_layers_write_and_read_as_the_model(model: type[nn.Module]) -> None:
    net = check_as_the_model(model(), X, torch.randn(3, 8))
    assert net.num_layers >= 3


def test_a_buffer_that_an_activation_is_written_into_stays_with_its_reader() -> None:
    with pytest.raises(al.ConversionError, match="the buffer memory is updated across this cut"):
        al.plan(Buffer(), X, at=["b"])


def test_weights_that_no_module_has_registered_are_refused() -> None:
    class Loose(Maps):
        def __init__(self) -> None:
            super().__init__()
            self.layers = [nn.Linear(16, 16)]

        def forward(self, x: Tensor) -> Tensor:
            scores: Tensor = self.out(self.c(self.layers[0](self.b(self.a(x)))).relu())
            return scores

    with pytest.raises(al.ConversionError, match=r"\[16, 16\] that no module has registered"):
        al.plan(Loose(), X, at=["b", "c"])

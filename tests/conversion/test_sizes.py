"""Batches of other sizes than the example's: computed as the model does, or refused beforehand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import associated_learning as al

LENGTHS: dict[str, Callable[[Tensor], int]] = {
    "x.shape[1] // 2": lambda x: x.shape[1] // 2,
    "x.size(1) - 3": lambda x: x.size(1) - 3,
    "len(x[0]) % 4 + 1": lambda x: len(x[0]) % 4 + 1,
    "math.ceil(n * 0.5)": lambda x: math.ceil(x.shape[1] * 0.5),
    "min(n, 8)": lambda x: min(x.shape[1], 8),
    "math.isqrt(n) + round(n / 3)": lambda x: math.isqrt(x.shape[1]) + round(x.shape[1] / 3),
}
PLAIN: dict[str, Callable[[Tensor], int]] = {
    "int(n / 2)": lambda x: int(x.shape[1] / 2),
    "8 if n > 8 else 3": lambda x: 8 if x.shape[1] > 8 else 3,
    "range(n)[-2]": lambda x: range(x.shape[1])[-2],
}


class Shortened(nn.Module):
    """Keeps some of the positions; how many, the length says."""

    def __init__(self, count: Callable[[Tensor], int]) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.count = count

    def forward(self, x: Tensor) -> Tensor:
        count = self.count(x)
        s = self.second(self.first(x)[:, :count]).relu()
        scores: Tensor = self.head(s.mean(1))
        return scores


class Inner(nn.Module):
    """The same model as one part of another, which can be left whole."""

    def __init__(self, count: Callable[[Tensor], int]) -> None:
        super().__init__()
        self.stem, self.inner, self.top = nn.Linear(4, 4), Shortened(count), nn.Linear(3, 3)
        self.head = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.top(self.inner(self.stem(x))).relu())
        return scores


class Recurrent(nn.Module):
    """A Python loop over the positions: as many calls as there are positions."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.top, self.head = nn.GRUCell(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(x.shape[0], 6)
        for t in range(x.shape[1]):
            state = self.cell(x[:, t], state)
        scores: Tensor = self.head(self.top(state).relu())
        return scores


class Window(nn.Module):
    """Shrinks for good to the shortest input it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.size, self.linear = 100, nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        self.size = min(self.size, x.shape[1])
        windowed: Tensor = self.linear(x[:, : self.size])
        return windowed


def features(model: nn.Module, x: Tensor) -> Tensor:
    found: list[Tensor] = []
    head = model.get_submodule("head")
    hook = head.register_forward_pre_hook(lambda _, args: found.append(args[0]))
    model.eval()(x)
    hook.remove()
    return found[0]


def check(net: al.ConvertedNetwork, x: Tensor) -> None:
    s: Any = x
    for layer in net.eval().al_layers():
        s = layer.f(s)
    assert torch.equal(s.values, features(net.backbone(), x))


@pytest.mark.parametrize("name", LENGTHS)
def test_sizes_are_followed_through_arithmetic(name: str) -> None:
    model = Shortened(LENGTHS[name])
    net = al.convert(model, torch.randn(4, 10, 4), target=al.Classes(3), at=["second"])
    for length in (5, 10, 17):
        check(net, torch.randn(3, length, 4))


@pytest.mark.parametrize("name", PLAIN)
def test_a_size_that_becomes_a_plain_number_is_guarded(name: str) -> None:
    """Batches that lead to the same number are computed as ever; others are refused."""
    for model, at, place in (
        (Shortened(PLAIN[name]), ["second"], "the model itself"),
        (Inner(PLAIN[name]), ["inner.second"], "inner"),
    ):
        net = al.convert(model, torch.randn(4, 10, 4), target=al.Classes(3), at=at)
        assert "batches must be of the example's sizes in part" in str(net.plan)
        check(net, torch.randn(7, 10, 4))
        with pytest.raises(al.InputError, match=f"{place} was taken apart, and its forward goes"):
            net(torch.randn(3, 5, 4))


@pytest.mark.parametrize("name", PLAIN)
def test_a_module_that_is_whole_may_do_with_sizes_what_it_wants(name: str) -> None:
    net = al.convert(Inner(PLAIN[name]), torch.randn(4, 10, 4), target=al.Classes(3))
    assert "inner.second" not in {layer.begins for layer in net.plan.layers}
    for length in (5, 10, 17):
        check(net, torch.randn(3, length, 4))


def test_other_sizes_leave_no_traces_in_the_model() -> None:
    window = Window()
    model = nn.Sequential(window, nn.Linear(4, 4))
    net = al.convert(model, torch.randn(4, 10, 4), target=al.Classes(3), at=["1"], head=None)
    assert window.size == 100  # planning changes nothing
    s = net.eval().al_layers()[0].f(torch.randn(3, 10, 4))
    assert s.values.shape == (3, 10, 4)


def test_a_loop_over_positions_takes_the_examples_length_only() -> None:
    net = al.convert(Recurrent(), torch.randn(4, 10, 4), target=al.Classes(3), at=["top"])
    check(net, torch.randn(6, 10, 4))
    with pytest.raises(al.InputError, match=r"int\(9\), which is 9 for this batch and was 10"):
        net(torch.randn(4, 9, 4))


def test_a_model_that_takes_one_size_only_is_not_asked_for_another() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 3)
    )
    net = al.convert(model, torch.randn(3, 1, 8, 8), target=al.Classes(3), at=["2"])
    assert net(torch.randn(5, 1, 8, 8)).shape == (5, 3)

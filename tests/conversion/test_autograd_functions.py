"""Functions with a backward of their own keep it, however they are called."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from conversion.oracle import Maps, check_as_the_model

X = torch.randn(6, 8)


class StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.sign(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:  # type: ignore[override]
        return g


class Reverse(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor) -> Tensor:  # type: ignore[override]
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.factor = -2.0

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:  # type: ignore[override]
        return ctx.factor * g


class InPlace(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.mark_dirty(x)
        return x.mul_(2)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:  # type: ignore[override]
        return 5 * g


class Reversible(torch.autograd.Function):
    """Runs blocks, which it is given, and computes their gradients itself."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, blocks: nn.ModuleList) -> Tensor:
        ctx.blocks = blocks
        ctx.save_for_backward(x)
        with torch.no_grad():
            for block in blocks:
                x = block(x)
        return x

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, None]:  # type: ignore[override]
        with torch.enable_grad():
            x = ctx.saved_tensors[0].detach().requires_grad_()
            y = x
            for block in ctx.blocks:
                y = block(y)
            y.backward(g)
        return x.grad, None


straight_through = StraightThrough.apply  # bound long before any recording


class Applied(Maps):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        x = self.function.apply(self.a(x))
        scores: Tensor = self.out(self.c(self.function.apply(self.b(x))))
        return scores


class Bound(Maps):
    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.out(self.c(straight_through(self.b(straight_through(self.a(x))))))
        return scores


class Blocks(Maps):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(16, 16) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.out(self.c(Reversible.apply(self.a(x), self.blocks)))
        return scores


@pytest.mark.parametrize("function", [StraightThrough, Reverse, InPlace])
def test_a_function_applied_by_its_class(function: Any) -> None:
    check_as_the_model(Applied(function), X, at=["b", "c"])


def test_a_function_under_another_name() -> None:
    check_as_the_model(Bound(), X, at=["b", "c"])


def test_a_function_that_is_given_modules() -> None:
    net = check_as_the_model(Blocks(), X, at=["c"])
    held = dict(net.al_layers()[0].f.named_parameters())
    assert {"blocks.0.weight", "blocks.1.weight"} <= held.keys()

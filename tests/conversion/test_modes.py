"""What a taken-apart forward does in training alone, the layers do in training."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Self

import associated_learning as al
from conversion.oracle import TARGET, Maps, check_as_the_model

X = torch.randn(6, 8)


class Number(Maps):
    def forward(self, x: Tensor) -> Tensor:
        h = self.b(self.a(x) * (0.5 if self.training else 0.25))
        scores: Tensor = self.out(self.c(h.relu()).relu())
        return scores


class Statistics(Maps):
    def forward(self, x: Tensor) -> Tensor:
        zeros, ones = torch.zeros(16), torch.ones(16)
        h = F.batch_norm(self.b(self.a(x)), zeros, ones, None, None, self.training)
        scores: Tensor = self.out(self.c(h).relu())
        return scores


class Noise(Maps):
    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        if self.training:
            h = F.dropout(h + 0.1 * torch.randn_like(h), 0.5)
        scores: Tensor = self.out(self.c(self.b(h).relu()).relu())
        return scores


class Sampling(Maps):
    """A variational autoencoder, whose evaluation cannot be differentiated."""

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x).relu()
        mean, std = self.b(h), torch.exp(0.5 * self.c(h))
        if self.training:
            std = torch.randn_like(std).mul(std)
        scores: Tensor = self.out(std.add_(mean))
        return scores


class Both(Maps):
    """Makes a value below the cut in training that is used above it."""

    def forward(self, x: Tensor) -> Tensor:
        h, scale = self.a(x), torch.ones(x.shape[0], 1)
        if self.training:
            scale = torch.rand(x.shape[0], 1)
        scores: Tensor = self.out(self.c(self.b(h).relu()).relu() * scale)
        return scores


@pytest.mark.parametrize("model", [Number, Statistics, Noise, Both])
def test_layers_take_the_way_of_their_mode(model: type[nn.Module]) -> None:
    net = check_as_the_model(model(), X, torch.randn(3, 8), at=["b", "c"])
    if model is not Statistics:
        assert "takes another way, and the layers take it too" in str(net.plan)


def test_an_evaluation_that_cannot_be_differentiated_trains() -> None:
    y = torch.arange(6) % 3
    stem = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU())
    model = nn.ModuleDict({"stem": stem, "top": Sampling()})
    model.forward = lambda x: model["top"](model["stem"](x))  # type: ignore[method-assign]
    net = al.convert(model, X, target=TARGET, at=["stem.2", "top"], head=["top.out"])
    al.Trainer(epochs=1).fit(net, al.LoaderBatches([(X, y)]))


class Dropped(Maps):
    """Stochastic depth: it draws which way it takes."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        for block in (self.b, self.c, self.b):
            if self.training and torch.rand(()) < self.p:
                continue
            h = block(h).relu()
        scores: Tensor = self.out(h)
        return scores


def test_a_forward_that_draws_its_way_is_told() -> None:
    plan = al.plan(Dropped(0.5), X, at=["b"])
    assert "(LayerDrop, stochastic depth); the layers always take that of evaluation" in str(plan)
    check_as_the_model(Dropped(0.0), X, at=["b"])  # what it draws changes nothing


def test_layers_in_different_modes_are_refused_where_that_matters() -> None:
    net = al.convert(Both(), X, target=TARGET, at=["b", "c"])
    net.train()
    net.al_layers()[0].eval()
    s: Any = net.al_layers()[0].f(X)
    with pytest.raises(al.InputError, match="put all layers into one mode"):
        for layer in net.al_layers()[1:]:
            s = layer.f(s)


def test_a_head_inside_a_module_that_looks_at_the_data() -> None:
    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.fc = nn.LayerNorm(16), nn.Linear(16, 3)

        def forward(self, h: Tensor) -> Tensor:
            scores: Tensor = self.fc(self.norm(h.clamp(-1, 1) if h.abs().max() > 3 else h))
            return scores

    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), Classifier())
    assert al.plan(model, X).dropped == ("3",)
    with pytest.raises(al.ConversionError, match="3: its forward depends on the content"):
        al.plan(model, X, head=["3.fc"])
    assert al.plan(model, X, head=None).dropped == ()


class Drawn(Maps):
    """Leaves out maps at random, in evaluation too."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        dropped = torch.zeros(2).uniform_(0.0, 1.0) < self.share
        for module, drop in zip((self.b, self.c), dropped, strict=True):
            x = x if drop else module(x).relu()
        scores: Tensor = self.out(x)
        return scores


def test_what_evaluation_draws_is_refused_unless_every_draw_goes_the_same_way() -> None:
    with pytest.raises(al.ConversionError, match="draws at random which way it takes, in eval"):
        al.plan(Drawn(0.5), torch.randn(6, 8))
    check_as_the_model(Drawn(0.0), torch.randn(6, 8), torch.randn(3, 8), at=["b"])


class FrozenNorm(nn.Module):
    """Its normalisation stays in evaluation mode, whatever mode it is put into."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(16, 16), nn.BatchNorm1d(16)
        self.second = nn.Linear(16, 16)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.norm.eval()
        return self

    def forward(self, h: Tensor) -> Tensor:
        h = self.second(self.norm(self.first(h)).relu())
        return h.relu()


class WithFrozenNorm(Maps):
    def __init__(self) -> None:
        super().__init__()
        self.b = FrozenNorm()  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.out(self.b(self.a(x)))
        return scores


def test_what_the_model_keeps_in_evaluation_mode_stays_so_in_a_taken_apart_module() -> None:
    net = check_as_the_model(WithFrozenNorm(), X, at=["b.second"])
    assert not net.train().layers[0].f.get_submodule("b.norm").training


class Averaging(Maps):
    """Keeps a moving average of what it sees in training."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        self.in_place = in_place
        self.register_buffer("mean", torch.zeros(16))

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        if self.training and self.in_place:
            with torch.no_grad():
                self.mean.mul_(0.9).add_(0.1 * h.mean(0))
        elif self.training:
            self.mean = 0.9 * self.mean + 0.1 * h.detach().mean(0)
        scores: Tensor = self.out(self.c(self.b(h - self.mean).relu()).relu())
        return scores


class Exchanged(Maps):
    """Uses another map in training."""

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.out((self.b if self.training else self.c)(self.a(x).relu()).relu())
        return scores


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Averaging(True), "turns gradients off or on"),
        (Averaging(False), "assigns self.mean"),
        (Exchanged(), "not called in training|other way"),
    ],
)
def test_what_training_alone_does_and_layers_cannot_is_refused(
    model: nn.Module, reason: str
) -> None:
    with pytest.raises(al.ConversionError, match=f"in training its forward .*({reason})"):
        al.convert(model, X, target=TARGET)


class Table(Maps):
    """Keeps what it made in an earlier run, of the length that came then."""

    @functools.cache  # noqa: B019
    def positions(self, length: int) -> Tensor:
        return torch.arange(float(length))[:, None]

    def forward(self, x: Tensor) -> Tensor:
        h = self.b(self.a(x) + self.positions(x.shape[1])).relu()
        scores: Tensor = self.out(self.c(h).relu().mean(1))
        return scores


def test_what_every_run_keeps_is_nothing_that_training_does() -> None:
    check_as_the_model(Table(), torch.randn(6, 10, 8), at=["b"])

"""Fixed targets: prototypes that lie as far apart as can be, and coders that learn nothing."""

from __future__ import annotations

import math
from typing import Any, Literal

import pytest
import torch
from torch import nn

import associated_learning as al
from associated_learning.models.prototypes import PrototypeAnswer, simplex

X, Y = torch.randn(12, 6, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3


def formed(target: al.Target | None = None, **options: Any) -> al.ALNetwork:
    torch.manual_seed(1)
    encoders = [nn.Sequential(nn.Linear(6, 8), nn.Tanh()), nn.Linear(8, 8), nn.Linear(8, 7)]
    options = {"latent": 5, "coders": "etf", **options}
    return al.al_form(encoders, X, target or al.Classes(3), **options)


@pytest.mark.parametrize(("count", "width"), [(2, 2), (2, 128), (3, 5), (10, 10), (14, 128)])
def test_every_pair_has_the_least_cosine_that_all_can_have(count: int, width: int) -> None:
    corners = simplex(count, width)
    for i in range(count):
        for j in range(count):
            cosine = sum(float(a) * float(b) for a, b in zip(corners[i], corners[j], strict=True))
            expected = 1.0 if i == j else -1 / (count - 1)
            assert cosine / width == pytest.approx(expected, abs=1e-5)


def test_every_layer_learns_the_prototype_of_the_class() -> None:
    net = formed(association="squared")
    corners = simplex(3, 5)
    for layer, (s, t, losses) in zip(net.al_layers(), net.associate(X, Y), strict=True):
        assert torch.equal(t, corners[Y])
        assert list(losses) == ["associated"]
        errors = [(layer.bridge(s)[n] - corners[c]).square().mean() for n, c in enumerate(Y)]
        torch.testing.assert_close(losses["associated"], torch.stack(errors).mean())
        assert not list(layer.g.parameters()) + list(layer.h.parameters())


def test_logits_are_distances_to_the_prototypes() -> None:
    latents, corners = torch.randn(7, 5), simplex(3, 5)
    distances = [[float(((z - p) ** 2).sum()) for p in corners] for z in latents]
    expected = (-torch.tensor(distances) / math.sqrt(5)).softmax(1)
    torch.testing.assert_close(PrototypeAnswer(3, 5)(latents).softmax(1), expected)


@pytest.mark.parametrize("loss", ["ce", "mse"])
@pytest.mark.parametrize("association", ["contrast", "squared"])
def test_it_learns_and_every_executor_ends_with_the_same_bits(
    loss: Literal["ce", "mse"], association: str
) -> None:
    found = []
    for executor in ("sequential", "threads"):
        net = formed(al.Classes(3, loss), association=association)
        al.verify(net, (X, Y))
        trainer = al.Trainer(epochs=30, lr=0.05, executor=executor)
        trainer.fit(net, al.LoaderBatches([(X, Y)]))
        assert al.evaluate(net, [(X, Y)]).scores == (1.0, 1.0, 1.0)
        found.append(net.state_dict())
    one, two = found
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert torch.equal(one["layers.0.g.corners"], simplex(3, 5))


def test_converted_models_take_them() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    net = al.convert(model, X, target=al.Classes(3), at=2, latent=4, coders="etf", check="full")
    al.verify(net, (X, Y))
    assert torch.equal(net.associate(X, Y)[1].t, simplex(3, 4)[Y])


def test_networks_of_them_grow() -> None:
    net, top = formed(), formed().al_layers()[2]
    net.truncate(2)
    net.append(top, X)
    assert torch.equal(net.associate(X, Y)[2].t, simplex(3, 5)[Y])


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        (None, {"latent": 2}, "latent=2 came for prototypes of 3 classes, .* expected latent=3"),
        (None, {"latent": [5, 6, 5]}, r"with latent widths \[5, 6, 5\]; a prototype is the same"),
        (None, {"association": "ce"}, "with association='ce', which has no g and h"),
        (None, {"coders": "eft"}, "coders='eft' came; expected one of learned, etf"),
        (al.Regression(2), {}, "for Regression; there is a prototype for each"),
        (al.Classes(3, label_smoothing=0.1), {}, "for a target with weight or label_smoothing"),
    ],
)
def test_what_has_no_prototypes_is_refused(
    target: al.Target | None, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(al.InputError, match=message):
        formed(target, **options)

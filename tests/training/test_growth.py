"""Law 7: a layer that is put on top changes nothing below, bit for bit; and what does not fit."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

import associated_learning as al
from associated_learning.errors import InputError

X = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(12) % 3


def lower(seed: int = 0) -> al.ALNetwork:
    """Two layers with dropout and batch statistics."""
    torch.manual_seed(seed)
    encoders = [
        nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3)),
        nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.3)),
    ]
    return al.al_form(encoders, X, al.Classes(3), latent=5)


def top(s: int = 8, t: int = 5, width: int = 7, bridge: int = 7) -> al.ALLayer:
    f = nn.Sequential(nn.Linear(s, 6), nn.BatchNorm1d(6), nn.Dropout(0.5))
    return al.ALLayer(f=f, b=nn.Linear(6, bridge), g=nn.Linear(t, width), h=nn.Linear(width, t))


def adam(layer: nn.Module) -> torch.optim.Adam:
    return torch.optim.Adam(layer.parameters(), lr=0.01)


def step(net: al.ALNetwork, optimizers: list[torch.optim.Optimizer | None], number: int) -> None:
    rule = al.UpdateRule(seed=3, clip=1)
    al.update_network(net.blocks(), optimizers, X, net.target.encode(Y), step=number, rule=rule)


def states(optimizers: list[torch.optim.Adam]) -> list[Tensor]:
    return [v for o in optimizers for p in o.state.values() for v in p.values()]


def test_the_lower_trajectory_is_that_of_a_network_that_never_grew() -> None:
    alone = lower()
    grown = copy.deepcopy(alone)
    optimizers_alone = [adam(layer) for layer in alone.layers]
    optimizers = [adam(layer) for layer in grown.layers]
    for number in range(10):
        if number == 4:
            torch.manual_seed(number)  # what a new layer draws for its weights counts for nothing
            grown.append(top(), X)
            optimizers.append(adam(grown.layers[2]))
            new = copy.deepcopy(grown.layers[2].state_dict())
        step(alone, list(optimizers_alone), number)
        step(grown, list(optimizers), number)
    for a, b in zip(alone.layers, grown.layers, strict=False):
        assert all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())
    assert all(
        torch.equal(a, b)
        for a, b in zip(states(optimizers_alone), states(optimizers[:2]), strict=True)
    )
    assert not torch.equal(new["f.0.weight"], grown.layers[2].f[0].weight)
    assert torch.equal(alone.eval()(X), grown.eval()(X, depth=2))


def test_a_layer_on_frozen_ones_trains_alone() -> None:
    net = lower()
    before = copy.deepcopy(net.state_dict())
    net.append(top(), X)
    for number in range(3):
        step(net, [None, None, adam(net.layers[2])], number)
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in before.items())


def test_trying_a_layer_changes_nothing() -> None:
    net, layer = lower(), top()
    before = copy.deepcopy([net.state_dict(), layer.state_dict()])
    net.append(layer, X)
    after = [{k: v for k, v in net.state_dict().items() if "layers.2" not in k}, layer.state_dict()]
    assert net.training
    assert layer.training
    for old, now in zip(before, after, strict=True):
        assert all(torch.equal(value, now[key]) for key, value in old.items())


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: top(s=9), r"cannot take what layer 2 gives, s of shape \[\[12, 8\]\]"),
        (lambda: top(t=4), r"and t of \[12, 5\]"),
        (lambda: top(bridge=6), r"b of the appended layer gives \[12, 6\]; expected \[12, 7\]"),
    ],
)
def test_what_does_not_fit_is_refused(layer: object, message: str) -> None:
    net = lower()
    with pytest.raises(InputError, match=message):
        net.append(layer(), X)  # type: ignore[operator]
    assert net.num_layers == 2


def test_a_decoder_of_another_width_is_refused() -> None:
    layer = top()
    layer.h = nn.Linear(7, 4)
    with pytest.raises(InputError, match=r"h of the appended layer gives \[12, 4\]; expected \["):
        lower().append(layer, X)


def test_a_layer_that_is_in_the_network_is_refused() -> None:
    net = lower()
    with pytest.raises(InputError, match="give each layer its own copy"):
        net.append(net.al_layers()[1])
    assert net.num_layers == 2

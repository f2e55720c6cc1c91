"""Bridges that follow the next layer's weights, against moving averages taken by hand."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import associated_learning as al
from associated_learning.models.lookahead import Lookahead

X, Y = torch.randn(12, 6, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3
TARGET = al.Classes(3)


def network(momentum: float | None = 0.75, **options: Any) -> al.ALNetwork:
    torch.manual_seed(1)
    encoders = [nn.Sequential(nn.Linear(a, b), nn.Tanh()) for a, b in ((6, 5), (5, 8), (8, 7))]
    options = {"latent": 4, "association": "squared", "bridge": "block", **options}
    return al.al_form(encoders, X, TARGET, bridge_momentum=momentum, **options)


def copies(net: al.ALNetwork) -> list[tuple[Tensor, Tensor]]:
    """Each weight of a copy beside that of the layer which it is a copy of."""
    layers = net.al_layers()
    found = []
    for layer, above in itertools.pairwise(layers):
        assert isinstance(layer.readout, Lookahead)
        pairs = zip(layer.readout.blocks[0].parameters(), above.f.parameters(), strict=True)
        found += list(pairs)
    return found


@pytest.mark.parametrize("momentum", [0.0, 0.75])
def test_copies_are_moving_averages_of_the_layers_above(momentum: float) -> None:
    net = network(momentum)
    blocks = net.blocks()
    optimizers = [
        torch.optim.Adam([p for p in block.parameters() if p.requires_grad], 0.05)
        for block in blocks
    ]
    expected = [copy.clone() for copy, _ in copies(net)]
    for step in range(3):
        al.update_network(blocks, optimizers, X, TARGET.encode(Y), step=step)
        for i, (copy, own) in enumerate(copies(net)):
            expected[i] = momentum * expected[i] + (1 - momentum) * own.detach()
            torch.testing.assert_close(copy, expected[i])
            if momentum == 0:
                assert torch.equal(copy, own)


def test_with_no_momentum_a_layer_learns_through_the_next_one_as_it_is() -> None:
    """The gradient is that of a window of two layers, of which the upper one stands still."""
    net = network(0.0)
    al.Trainer(epochs=2, lr=0.02).fit(net, al.LoaderBatches([(X, Y)]))
    first, second, _ = net.al_layers()
    t = first.g(TARGET.encode(Y)).detach()
    window = F.mse_loss(first.b(second.f(first.f(X))), t)
    wanted = torch.autograd.grad(window, list(first.f.parameters()))
    found = torch.autograd.grad(
        first(X, TARGET.encode(Y)).losses["associated"], list(first.f.parameters())
    )
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)
    assert all(p.grad is None for p in first.readout.parameters())


def test_no_gradient_crosses_layers_and_copies_learn_nothing() -> None:
    net = network()
    al.verify(net, (X, Y))
    assert not any(copy.requires_grad for copy, _ in copies(net))


def test_killed_and_resumed_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    def fit(net: al.ALNetwork, epochs: int, folder: Path) -> dict[str, Tensor]:
        trainer, batches = al.Trainer(epochs=epochs, lr=0.02), al.LoaderBatches([(X, Y)] * 2)
        trainer.fit(net, batches, checkpoints=al.Checkpoints(folder))
        return net.state_dict()

    whole = fit(network(), 4, tmp_path / "whole")
    fit(network(), 2, tmp_path / "parts")
    again = fit(network(), 4, tmp_path / "parts")
    assert all(torch.equal(whole[name], again[name]) for name in whole)


@pytest.mark.parametrize("executor", ["threads", "offload"])
def test_where_layers_train_apart_it_is_refused(executor: str) -> None:
    settings: dict[str, Any] = {"stages": 2} if executor == "threads" else {}
    trainer = al.Trainer(epochs=1, executor=executor, **settings)
    with pytest.raises(al.InputError, match=r"follows layer \d \(bridge_momentum\), which does"):
        trainer.fit(network(), al.LoaderBatches([(X, Y)] * 2))


def test_in_one_stage_threads_take_it() -> None:
    found = []
    for settings in ({}, {"executor": "threads", "stages": 1}):
        net = network()
        al.Trainer(epochs=2, **settings).fit(net, al.LoaderBatches([(X, Y)] * 2))
        found.append(net.state_dict())
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


@pytest.mark.parametrize(
    ("momentum", "options", "message"),
    [
        (1.0, {}, "bridge_momentum=1.0 came; expected a number from 0 to below 1"),
        (0.5, {"bridge": "linear"}, "came with bridge='linear', which has no copies"),
        (0.5, {"bridge_frozen": True}, "came with bridge_frozen=True, which keeps the copies"),
        (0.5, {"stop_gradients": False}, "came with gradient stops turned off, which join layers"),
    ],
)
def test_what_leaves_it_no_effect_is_refused(
    momentum: float, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(al.InputError, match=message):
        network(momentum, **options)

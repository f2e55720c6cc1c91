"""Windows of two layers that overlap, against autograd through the layers themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import associated_learning as al

X, Y = torch.randn(12, 6, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3
TARGET = al.Classes(3)


def model() -> nn.Sequential:
    torch.manual_seed(1)
    blocks = [nn.Sequential(nn.Linear(a, b), nn.Tanh()) for a, b in ((6, 5), (5, 8), (8, 7))]
    return nn.Sequential(*blocks, nn.Linear(7, 3))


def network(kind: str = "list", **options: Any) -> al.ALNetwork:
    options = {"latent": 4, "overlap": True, **options}
    if kind == "converted":
        return al.convert(model(), X, target=TARGET, at=["1", "2"], **options)
    return al.al_form(list(model())[:-1], X, TARGET, **options)


@pytest.mark.parametrize("kind", ["list", "converted"])
@pytest.mark.parametrize("options", [{}, {"association": "ce"}, {"bridge": "block"}])
def test_an_encoder_learns_by_its_own_loss_and_that_of_the_layer_above(
    kind: str, options: dict[str, Any]
) -> None:
    net = network(kind, **options)
    x, t0 = X, TARGET.encode(Y)
    al.Trainer(epochs=2, lr=0.02).fit(net, al.LoaderBatches([(X, Y)]))
    plain = network(kind, **{**options, "overlap": False})
    plain.load_state_dict({k: v for k, v in net.state_dict().items() if ".window." not in k})
    layers = plain.al_layers()
    wanted: list[list[Tensor]] = []
    s: Any = x
    t = t0
    for i, layer in enumerate(layers):
        s_next, t_next, losses = layer(s, t)  # s is cut there, so that a window begins below it
        total = sum(losses.values())
        if i + 1 < len(layers):
            above = layers[i + 1]
            through = above.bridge(above.f(s_next))
            goal = above.g(t_next.detach()).detach()
            total = total + (
                above.association(through, goal)
                if above.association is not None
                else nn.functional.mse_loss(through, goal)
            )
        wanted.append(list(torch.autograd.grad(total, list(layer.f.parameters()))))
        s, t = s_next, t_next
    blocks = net.blocks()
    before = [[p.clone() for p in layer.f.parameters()] for layer in net.al_layers()]
    optimizers = [
        torch.optim.SGD([p for p in block.parameters() if p.requires_grad], 1.0) for block in blocks
    ]
    al.update_network(blocks, optimizers, x, t0, step=0)
    for layer, old, gradients in zip(net.al_layers(), before, wanted, strict=True):
        for p, start, gradient in zip(layer.f.parameters(), old, gradients, strict=True):
            torch.testing.assert_close(start - p, gradient)


def test_no_gradient_crosses_layers_and_copies_learn_nothing() -> None:
    net = network()
    al.verify(net, (X, Y))
    frozen = {name for name, p in net.named_parameters() if not p.requires_grad}
    assert frozen == {name for name, _ in net.named_parameters() if ".window." in name}
    assert frozen


def test_beginnings_and_prefixes_are_those_without_it() -> None:
    net, plain = network(), network(overlap=False)
    state = net.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in plain.state_dict().items())
    assert net.prefix(2).state_dict().keys() == plain.prefix(2).state_dict().keys()


def test_killed_and_resumed_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    def fit(epochs: int, folder: Path) -> dict[str, Tensor]:
        net, trainer = network(), al.Trainer(epochs=epochs, lr=0.02)
        trainer.fit(net, al.LoaderBatches([(X, Y)] * 2), checkpoints=al.Checkpoints(folder))
        return net.state_dict()

    whole = fit(4, tmp_path / "whole")
    fit(2, tmp_path / "parts")
    again = fit(4, tmp_path / "parts")
    assert all(torch.equal(whole[name], again[name]) for name in whole)


@pytest.mark.parametrize("executor", ["threads", "offload"])
def test_where_layers_train_apart_it_is_refused(executor: str) -> None:
    settings: dict[str, Any] = {"stages": 2} if executor == "threads" else {}
    trainer = al.Trainer(epochs=1, executor=executor, **settings)
    with pytest.raises(al.InputError, match=r"the window of layer \d follows layer \d \(overlap\)"):
        trainer.fit(network(), al.LoaderBatches([(X, Y)] * 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stop_gradients": [True, False, True]}, "overlap=True came for gradient stops turned"),
        (
            {"use_associated": [False, True, True], "stop_gradients": [True, False, True]},
            "overlap=True came for gradient stops turned off",
        ),
    ],
)
def test_what_leaves_it_no_meaning_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(al.InputError, match=message):
        network(**options)


def test_an_encoder_that_writes_into_its_input_is_refused() -> None:
    with pytest.raises(al.InputError, match=r"encoder 2 \(ReLU\) writes into its input, so that"):
        al.al_form([nn.Linear(6, 5), nn.ReLU(inplace=True)], X, TARGET, overlap=True)


def test_a_single_layer_has_none_above_it() -> None:
    with pytest.raises(al.InputError, match="overlap=True came for one layer, above which"):
        al.al_form([nn.Linear(6, 5)], X, TARGET, overlap=True)

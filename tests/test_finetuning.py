"""Settings for pretrained encoders: a learning rate of their own, frozen ones, warm-up."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import associated_learning as al
from associated_learning.encoders import encoders_in
from associated_learning.keyed import seeded
from associated_learning.models import LayeredModel
from associated_learning.optim import make_optimizers
from associated_learning.schedules import make_schedule
from conftest import batches_of, dense_network, noisy_network
from test_resume import KillAt, KilledError


def bp_network() -> al.BPNetwork:
    layers = [nn.Sequential(nn.Linear(6 if i == 0 else 8, 8), nn.Tanh()) for i in range(3)]
    return al.BPNetwork(LayeredModel(layers, nn.Identity(), nn.Linear(8, 4)), al.Classes(4))


def network(method: str) -> al.Network:
    torch.manual_seed(3)
    return dense_network(3) if method == "al" else bp_network()


def weights(net: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in net.state_dict().items()}


def train_by_hand(net: al.Network, lr: float, encoder_lr: float, steps: int) -> None:
    """Plain PyTorch: for every encoder and for what is beside it an optimizer of its own."""
    if isinstance(net, al.ALNetwork):
        groups = [(list(layer.f.parameters()), layer) for layer in net.al_layers()]
    else:
        assert isinstance(net, al.BPNetwork)
        groups = [(list(net.model.layers.parameters()), net.model)]
    optimizers = []
    for encoder, block in groups:
        own = set(map(id, encoder))
        beside = [p for p in block.parameters() if id(p) not in own]
        optimizers += [torch.optim.Adam(encoder, lr=encoder_lr), torch.optim.Adam(beside, lr=lr)]
    for x, y in batches_of(steps):
        for optimizer in optimizers:
            optimizer.zero_grad()
        if isinstance(net, al.ALNetwork):
            terms = [output.losses for output in net.associate(x, y)]
            torch.stack([sum(losses.values()) for losses in terms]).sum().backward()
        else:
            nn.functional.cross_entropy(net(x), y).backward()
        for optimizer in optimizers:
            optimizer.step()


@pytest.mark.parametrize("method", ["al", "bp"])
def test_encoders_learn_at_their_own_rate(method: str) -> None:
    net, plain = network(method), network(method)
    al.Trainer(
        epochs=1, lr=0.05, encoder_lr=0.002, optimizer_options={"fused": False}
    ).fit(net, al.LoaderBatches(batches_of(6)))  # fmt: skip
    train_by_hand(plain, 0.05, 0.002, 6)
    torch.testing.assert_close(net.state_dict(), plain.state_dict())


@pytest.mark.parametrize("method", ["al", "bp"])
def test_one_rate_for_both_groups_is_one_rate_for_all(method: str) -> None:
    one, two = network(method), network(method)
    al.Trainer(epochs=1, lr=0.05).fit(one, al.LoaderBatches(batches_of(6)))
    al.Trainer(epochs=1, lr=0.05, encoder_lr=0.05).fit(two, al.LoaderBatches(batches_of(6)))
    for key, value in one.state_dict().items():
        assert torch.equal(two.state_dict()[key], value), key


def test_rates_of_encoders_may_differ_by_layer() -> None:
    rates = [1e-5, 2e-5, 4e-5]
    optimizers = make_optimizers(dense_network(3).blocks(), lr=0.1, encoder_lr=rates)
    found = [[group["lr"] for group in o.param_groups] for o in optimizers if o is not None]
    assert found == [[0.1, rate] for rate in rates]


def test_joint_layers_tell_their_encoders() -> None:
    net = dense_network(3, stop_gradients=[True, False, False])
    (block,) = net.blocks()
    assert encoders_in(block) == [layer.f for layer in net.al_layers()] == encoders_in(net)


def test_a_model_that_does_not_tell_its_head_is_named() -> None:
    net = al.BPNetwork(nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 4)), al.Classes(4))
    with pytest.raises(al.InputError, match=r"does not tell its encoders from its head; make"):
        make_optimizers(net.blocks(), encoder_lr=1e-4)
    with pytest.raises(al.InputError, match="freeze=1 came for a network of 0 encoders"):
        al.Trainer(epochs=1, freeze=1).fit(net, al.LoaderBatches(batches_of(1)))


@pytest.mark.parametrize("count", [-1, 4])
def test_more_frozen_encoders_than_there_are_is_refused(count: int) -> None:
    with pytest.raises(al.InputError, match=f"freeze={count} came for a network of 3 encoders"):
        al.Trainer(epochs=1, freeze=count).fit(dense_network(3), al.LoaderBatches(batches_of(1)))


@pytest.mark.parametrize("method", ["al", "bp"])
@pytest.mark.parametrize("count", [1, 3])
def test_frozen_encoders_stay_and_all_else_learns(method: str, count: int) -> None:
    net = network(method)
    before = weights(net)
    al.Trainer(epochs=1, lr=0.05, freeze=count).fit(net, al.LoaderBatches(batches_of(4)))
    frozen = {id(p) for f in encoders_in(net)[:count] for p in f.parameters()}
    assert frozen
    for name, parameter in net.named_parameters():
        assert torch.equal(parameter, before[name]) == (id(parameter) in frozen), name
        assert parameter.requires_grad, name


def test_what_was_frozen_by_hand_stays_so_after_training() -> None:
    net = network("al")
    net.layers[0].f.requires_grad_(False)
    al.Trainer(epochs=1, freeze=2).fit(net, al.LoaderBatches(batches_of(1)))
    flags = [[p.requires_grad for p in f.parameters()] for f in encoders_in(net)]
    assert flags == [[False, False], [True, True], [True, True]]


def test_above_frozen_encoders_training_is_that_on_their_features() -> None:
    """No dropout and no new statistics: features computed beforehand give the same bits."""
    torch.manual_seed(5)
    net = noisy_network(3)
    above = copy.deepcopy(net)
    frozen = net.layers[0].f
    above.layers[0].f = nn.Identity()
    statistics = weights(frozen)
    frozen.eval()
    with torch.no_grad():
        features = [(frozen(x), y) for x, y in batches_of(5)]
    al.Trainer(epochs=2, lr=0.05, freeze=1, seed=4).fit(net, al.LoaderBatches(batches_of(5)))
    al.Trainer(epochs=2, lr=0.05, seed=4).fit(above, al.LoaderBatches(features))
    for key, value in above.state_dict().items():
        assert torch.equal(net.state_dict()[key], value), key
    assert all(torch.equal(frozen.state_dict()[key], value) for key, value in statistics.items())


@pytest.mark.parametrize("method", ["al", "bp"])
@pytest.mark.parametrize("step", [2, 7, 11])
def test_a_killed_run_with_all_of_it_ends_like_one_that_was_not(
    method: str, step: int, tmp_path: Path
) -> None:
    def fit(folder: str, *callbacks: Any) -> al.Network:
        with seeded(3):
            net: al.Network = noisy_network(3) if method == "al" else bp_network()
        trainer = al.Trainer(
            epochs=3, lr=0.05, encoder_lr=0.01, freeze=1, clip=1.0, save_every=1, seed=9,
            optimizer=torch.optim.AdamW, optimizer_options={"weight_decay": 0.01},
            schedule=make_schedule("cosine", steps=18, warmup=0.4), schedule_every="step",
        )  # fmt: skip
        trainer.fit(
            net,
            al.LoaderBatches(batches_of(6)),
            callbacks=callbacks,
            checkpoints=al.Checkpoints(tmp_path / folder),
        )
        return net

    whole = fit("whole")
    with pytest.raises(KilledError, match="killed at"):
        fit("killed", KillAt(step))
    resumed = fit("killed")
    for key, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key

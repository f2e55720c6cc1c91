"""Settings for pretrained encoders: a learning rate of their own, frozen ones, warm-up."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import associated_learning as al
from associated_learning.models import LayeredModel
from associated_learning.state.freezing import encoders_in
from associated_learning.state.optimizers import make_optimizers
from associated_learning.state.schedules import make_schedule
from associated_learning.tensors.randomness.keyed import seeded
from faults import KillAt, KilledError
from small_networks import batches_of, dense_network, noisy_network


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
    net = bp_network()
    (optimizer,) = make_optimizers(net.blocks(), lr=0.1, encoder_lr=rates)
    assert optimizer is not None
    groups = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
    assert [groups[id(f[0].weight)] for f in net.model.layers] == rates
    assert groups[id(net.model.head.weight)] == 0.1


def test_as_many_rates_as_encoders_are_expected() -> None:
    for net in (dense_network(3), bp_network()):
        with pytest.raises(al.InputError, match="2 learning rates of encoders came for 3 encoders"):
            make_optimizers(net.blocks(), encoder_lr=[0.1, 0.2])


def test_no_rate_may_be_negative() -> None:
    for rates in ({"lr": -0.1}, {"encoder_lr": -0.1}, {"encoder_lr": [0.1, -0.1, 0.1]}):
        with pytest.raises(al.InputError, match="Invalid learning rate"):
            make_optimizers(dense_network(3).blocks(), **rates)  # type: ignore[arg-type]


def test_joint_layers_tell_their_encoders() -> None:
    net = dense_network(3, stop_gradients=[True, False, False])
    (block,) = net.blocks()
    assert encoders_in(block) == [layer.f for layer in net.al_layers()] == encoders_in(net)


def test_a_model_that_does_not_tell_its_head_is_named() -> None:
    net = al.BPNetwork(nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 4)), al.Classes(4))
    with pytest.raises(al.InputError, match=r"does not tell its encoders from its head; make it"):
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
def test_modules_of_encoders_are_frozen_by_name(method: str) -> None:
    """All encoders of the test's networks are ``Linear, Tanh``: "0" is every Linear."""
    net = network(method)
    before = weights(net)
    al.Trainer(epochs=1, lr=0.05, freeze=["0"]).fit(net, al.LoaderBatches(batches_of(4)))
    frozen = {id(p) for f in encoders_in(net) for p in f[0].parameters()}
    for name, parameter in net.named_parameters():
        assert torch.equal(parameter, before[name]) == (id(parameter) in frozen), name
    with pytest.raises(
        al.InputError, match=r"freeze=2 came, but no encoder has a module of that name"
    ):
        al.Trainer(epochs=1, freeze=["2"]).fit(net, al.LoaderBatches(batches_of(1)))


def warmed_by_hand(net: al.ALNetwork, t0: Tensor, steps: int) -> list[float]:
    """Plain PyTorch: every pair of coders on its own, on what the pair below makes of targets."""
    layers = net.al_layers()
    optimizers = [
        torch.optim.Adam([*layer.g.parameters(), *layer.h.parameters()], lr=1e-3)
        for layer in layers
    ]
    losses = []
    for _ in range(steps):
        t, losses = t0, []
        for i, (layer, optimizer) in enumerate(zip(layers, optimizers, strict=True)):
            up = layer.g(t)
            back = layer.h(up)
            loss = nn.functional.cross_entropy(back, t) if i == 0 else (back - t).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            t = up.detach()
            losses.append(loss.item())
    return losses


def test_targets_are_warmed_as_by_hand() -> None:
    net, plain = network("al"), network("al")
    assert isinstance(net, al.ALNetwork)
    assert isinstance(plain, al.ALNetwork)
    losses = al.warm_targets(net, steps=20)
    assert losses == pytest.approx(warmed_by_hand(plain, torch.eye(4), 20), rel=1e-4)
    torch.testing.assert_close(net.state_dict(), plain.state_dict())


def test_only_coders_are_warmed() -> None:
    net = network("al")
    before = weights(net)
    al.warm_targets(net, steps=3)
    changed = {name for name, p in net.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {name for name in before if name.split(".")[2] in ("g", "h")}
    assert all(parameter.grad is None for parameter in net.parameters())


def test_frozen_coders_are_not_warmed() -> None:
    net = network("al")
    assert isinstance(net, al.ALNetwork)
    for part in (net.layers[0].g, net.layers[0].h):
        part.requires_grad_(False)
    before = weights(net.layers[0])
    al.warm_targets(net, steps=3)
    assert all(torch.equal(v, before[k]) for k, v in net.layers[0].state_dict().items())


def test_other_targets_are_warmed_on_a_sample() -> None:
    encoders = [nn.Linear(6, 8), nn.Linear(8, 8)]
    net = al.al_form(encoders, torch.randn(2, 6), al.Regression(2), latent=5)
    with pytest.raises(al.InputError, match="no targets came for Regression; expected y"):
        al.warm_targets(net)
    y = torch.randn(16, 2)
    first, last = al.warm_targets(net, y, steps=1), al.warm_targets(net, y, steps=200)
    assert max(b / a for a, b in zip(first, last, strict=True)) < 0.5
    al.Trainer(epochs=1, target_warmup=5).fit(net, al.LoaderBatches([(torch.randn(16, 6), y)]))


def test_what_cannot_be_warmed_is_named() -> None:
    with pytest.raises(al.InputError, match="a BPNetwork came, which has no target autoencoders"):
        al.warm_targets(bp_network())
    with pytest.raises(al.InputError, match="steps=0 came; expected at least 1"):
        al.warm_targets(network("al"), steps=0)


def test_the_trainer_warms_targets_once_and_first() -> None:
    one, two = network("al"), network("al")
    al.Trainer(epochs=2, lr=0.05, target_warmup=7, seed=3).fit(one, al.LoaderBatches(batches_of(3)))
    al.warm_targets(two, steps=7, seed=3)
    al.Trainer(epochs=2, lr=0.05, seed=3).fit(two, al.LoaderBatches(batches_of(3)))
    for key, value in one.state_dict().items():
        assert torch.equal(two.state_dict()[key], value), key


@pytest.mark.parametrize("method", ["al", "bp"])
@pytest.mark.parametrize("step", [2, 7, 11])
def test_a_killed_run_with_all_of_it_ends_like_one_that_was_not(
    method: str, step: int, tmp_path: Path
) -> None:
    def fit(folder: str, *callbacks: Any) -> al.Network:
        with seeded(3):
            net: al.Network = noisy_network(3) if method == "al" else bp_network()
        trainer = al.Trainer(
            epochs=3, lr=0.05, encoder_lr=[0.01, 0.02, 0.03], freeze=1, clip=1.0, save_every=1,
            seed=9, target_warmup=4 if method == "al" else 0,
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

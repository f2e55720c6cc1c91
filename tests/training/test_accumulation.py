"""Gradient accumulation: minibatches that make one update together are one large minibatch."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import associated_learning as al
import growing
from associated_learning.errors import InputError
from growing import after, layer

SIZES = (8, 8, 8, 3, 5, 8, 1)  # of minibatches: two updates of three, one of the one left


TARGETS = (al.Classes(3), al.Regression(2), al.Classes(3, positions=1))


def encoders(*, dropout: float = 0.0) -> list[nn.Module]:
    torch.manual_seed(0)
    return [
        nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(dropout)),
        nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Dropout(dropout)),
    ]


def samples(target: al.Target) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    x = torch.randn(sum(SIZES), *(6 for _ in range(target.positions)), 4)
    if isinstance(target, al.Regression):
        return x, x[..., :2] * 3
    y = (x[..., 0] > 0).long() + (x[..., 1] > 1).long()
    return x, y.masked_fill(torch.rand(y.shape) < 0.4, -100) if target.positions else y


def network(kind: str, target: al.Target) -> al.Network:
    x, made = samples(target)[0], encoders()
    if kind == "bp":
        return al.BPNetwork(nn.Sequential(*made, nn.Linear(8, target.size)), target)
    association = None if kind == "squared" else kind
    return al.al_form(made, x[:8], target, latent=5, association=association)


def parted(x: Tensor, y: Tensor, sizes: Any) -> list[tuple[Tensor, Tensor]]:
    return list(zip(x.split(list(sizes)), y.split(list(sizes)), strict=True))


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        *((kind, target) for kind in ("squared", "bp") for target in TARGETS),
        ("auto", TARGETS[-1]),  # each exit's own cross-entropy; elsewhere contrast, of a minibatch
    ],
    ids=str,
)
def test_an_update_is_that_on_all_their_samples(kind: str, target: al.Target) -> None:
    """Also of minibatches of different sizes, where positions count or do not, and clipped."""
    x, y = samples(target)
    one, other = network(kind, target), network(kind, target)
    settings: dict[str, Any] = {
        "epochs": 3, "lr": 0.5, "optimizer": torch.optim.SGD, "clip": 0.3, "judge": "full",
    }  # fmt: skip
    trainer = al.Trainer(gradient_accumulation_steps=3, **settings)
    found = trainer.fit(one, al.LoaderBatches(parted(x, y, SIZES)))
    whole = [sum(SIZES[:3]), sum(SIZES[3:6]), SIZES[6]]
    expected = al.Trainer(**settings).fit(other, al.LoaderBatches(parted(x, y, whole)))
    assert (found.step, found.epoch) == (expected.step, expected.epoch) == (9, 3)
    before = network(kind, target).state_dict()
    for name, value in one.state_dict().items():
        torch.testing.assert_close(value, other.state_dict()[name], atol=2e-6, rtol=1e-5)
    assert any(not torch.equal(before[name], value) for name, value in one.state_dict().items())
    for mine, theirs in zip(found.records[-1].losses, expected.records[-1].losses, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-4)


def test_a_batch_without_a_target_is_no_part_of_an_update() -> None:
    target = al.Classes(3, positions=1)
    x, y = samples(target)
    ignored = (x[:4], torch.full_like(y[:4], -100))
    pairs = parted(x, y, SIZES)
    settings: dict[str, Any] = {"epochs": 1, "gradient_accumulation_steps": 2}
    one, other = network("auto", target), network("auto", target)
    with pytest.warns(UserWarning, match="none of its positions counts"):
        al.Trainer(**settings).fit(one, al.LoaderBatches([pairs[0], ignored, *pairs[1:]]))
    al.Trainer(**settings).fit(other, al.LoaderBatches(pairs))
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])


def test_each_minibatch_draws_its_own_random_numbers() -> None:
    """With equal inputs and dropout the two halves of an update are not the same."""
    seen: list[Tensor] = []
    layers = encoders(dropout=0.5)
    layers[0].register_forward_hook(lambda *call: seen.append(call[2].detach().clone()))
    x, y = samples(al.Classes(3))
    net = al.al_form(layers, x[:8], al.Classes(3), latent=5)
    seen.clear()
    batch = (x[:8], y[:8])
    al.Trainer(epochs=1, gradient_accumulation_steps=2).fit(net, al.LoaderBatches([batch, batch]))
    assert len(seen) == 2
    assert not torch.equal(seen[0] == 0, seen[1] == 0)


def test_one_minibatch_an_update_has_the_bits_of_plain_training() -> None:
    """The random numbers of the first minibatch of an update are those of a plain one."""
    x, y = samples(al.Classes(3))
    one = al.al_form(encoders(dropout=0.5), x[:8], al.Classes(3), latent=5)
    other = copy.deepcopy(one)
    batches = al.LoaderBatches(parted(x, y, SIZES)[:1])
    al.Trainer(epochs=3, gradient_accumulation_steps=4).fit(one, batches)
    al.Trainer(epochs=3).fit(other, batches)
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gradient_accumulation_steps": 0}, "gradient_accumulation_steps=0 came"),
        ({"gradient_accumulation_steps": 2, "replicas": 2}, "expected one of the two"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        al.Trainer(**settings)  # type: ignore[arg-type]


def test_a_network_that_grows_takes_several_minibatches_an_update() -> None:
    growth = al.Growth(make=layer, max_layers=2, when=after(1))
    _, state = growing.fit(growth, None, batches=6, epochs=2, gradient_accumulation_steps=4)
    assert (state.depth, state.step) == (2, 4)  # two updates an epoch, of 4 and 2 minibatches


def test_memory_is_planned_for_all_minibatches_of_an_update() -> None:
    """What waits between layers is as much more; what trains is not."""
    x, y = samples(al.Classes(3))
    net = al.al_form(encoders(), x[:8], al.Classes(3), latent=5)
    batches = al.LoaderBatches([(x[:8], y[:8])] * 4)
    one, four = (
        al.Trainer(epochs=1, gradient_accumulation_steps=parts, window=4).memory_plan(net, batches)
        for parts in (1, 4)
    )
    for before, now in zip(one.layers, four.layers, strict=True):
        assert now.taken == 4 * before.taken
        assert now.state == before.state

"""The table of local losses: every member trains, answers and grows wherever Equation 3 does."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import associated_learning as al
from associated_learning.losses.scpl import scpl_loss, supervised_contrast
from associated_learning.losses.table import LOCAL_LOSSES, LocalLoss
from associated_learning.runs.networks.families import build_network
from associated_learning.runs.networks.input_spec import InputSpec
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.settings.resolved import resolved

X = torch.randn(12, 6, generator=torch.Generator().manual_seed(0))
Y = torch.arange(12) % 3
CHOICES = {field.name: field.metadata.get("choices", ()) for field in fields(RunConfig)}


def encoders() -> list[nn.Module]:
    torch.manual_seed(1)
    widths = [(6, 8), (8, 8), (8, 7)]
    return [nn.Sequential(nn.Linear(*width), nn.Dropout(0.2), nn.Tanh()) for width in widths]


def formed(name: str, **options: Any) -> al.ALNetwork:
    return al.al_form(encoders(), X, al.Classes(3), association=name, latent=5, **options)


def converted(name: str, **options: Any) -> al.ALNetwork:
    model = nn.Sequential(*encoders(), nn.Linear(7, 3))
    return al.convert(
        model, X, target=al.Classes(3), at=["1", "2"], association=name, latent=5, **options
    )


def fitted(net: al.ALNetwork, executor: str, **settings: Any) -> dict[str, Tensor]:
    trainer = al.Trainer(epochs=3, lr=0.01, seed=3, executor=executor, **settings)
    trainer.fit(net, al.LoaderBatches([(X, Y)] * 3))
    return net.state_dict()


def train_everywhere(name: str) -> None:
    """Train by al_form and convert, in one process and in stages: equal bits, exits that answer."""
    for make in (formed, converted):
        net = make(name)
        al.verify(net, (X, Y))
        before = {key: value.clone() for key, value in net.state_dict().items()}
        after = fitted(net, "sequential")
        moved = {key.split(".")[1] for key in after if not torch.equal(after[key], before[key])}
        assert moved == {"0", "1", "2"}
        threads = fitted(make(name), "threads")
        assert all(torch.equal(after[key], threads[key]) for key in after)
        assert [net(X, depth).shape for depth in (1, 2, 3)] == [(12, 3)] * 3


@pytest.mark.parametrize("name", LOCAL_LOSSES)
def test_every_member_trains_everywhere(name: str) -> None:
    train_everywhere(name)


def test_a_new_loss_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    row = LocalLoss(what="", source="", make=lambda own: toy_loss, autoencoders=False, features=4)
    monkeypatch.setitem(LOCAL_LOSSES, "toy", row)
    train_everywhere("toy")
    assert formed("toy").al_layers()[0].b.out_features == 3 + 4


def toy_loss(output: Tensor, t: Tensor) -> Tensor:
    """Squared error of the answer, and small features."""
    return F.mse_loss(output[:, :3], t) + output[:, 3:].square().mean()


@pytest.mark.parametrize("name", LOCAL_LOSSES)
@pytest.mark.parametrize("bridge", ["mlp", "block"])
def test_members_take_every_bridge(name: str, bridge: Any) -> None:
    net = converted(name, bridge=bridge)
    al.verify(net, (X, Y))
    model = nn.Sequential(*encoders(), nn.Linear(7, 3))
    plan = al.plan(
        model, X, target=net.target, at=["1", "2"], association=name, latent=5, bridge=bridge
    )
    held = [
        sum(p.numel() for part in (layer.b, layer.readout) for p in part.parameters())
        for layer in net.al_layers()
    ]
    assert [layer.bridge_parameters for layer in plan.layers] == held


@pytest.mark.parametrize("name", LOCAL_LOSSES)
def test_networks_of_every_member_grow(name: str) -> None:
    top = formed(name).al_layers()[2]
    short = formed(name)
    short.truncate(2)
    growth = al.Growth(make=lambda number: top, max_layers=3, when=lambda r: len(r) == 1)
    fitted(short, "sequential", growth=growth)
    assert short.num_layers == 3
    assert short(X).shape == (12, 3)


def test_a_plan_needs_the_target_where_it_sizes_the_bridges() -> None:
    model = nn.Sequential(*encoders(), nn.Linear(7, 3))
    with pytest.raises(al.InputError, match="association='ce' came without a target"):
        al.plan(model, X, at=["1", "2"], association="ce")


def test_supervised_contrast_is_the_formula_of_its_paper() -> None:
    torch.manual_seed(2)
    z, labels = torch.randn(6, 4), torch.tensor([0, 1, 0, 2, 1, 0])
    terms = []
    for i in range(6):
        same = [j for j in range(6) if j != i and labels[j] == labels[i]]
        scores = [math.exp(float(F.cosine_similarity(z[i], z[a], dim=0)) / 0.1) for a in range(6)]
        total = sum(scores) - scores[i]
        if same:
            terms.append(-sum(math.log(scores[p] / total) for p in same) / len(same))
    expected = sum(terms) / len(terms)
    t = torch.eye(3)[labels]
    assert float(supervised_contrast(z, t)) == pytest.approx(expected, rel=1e-4)
    whole = torch.cat([torch.randn(6, 3), z], dim=1)
    both = expected + float(F.cross_entropy(whole[:, :3], t))
    assert float(scpl_loss(whole, t, F.cross_entropy)) == pytest.approx(both, rel=1e-4)


@pytest.mark.parametrize("count", [1, 3])
def test_samples_of_which_each_has_another_target_have_nothing_to_contrast(count: int) -> None:
    z = torch.randn(count, 4, requires_grad=True)
    loss = supervised_contrast(z, torch.eye(3)[:count])
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0
    assert z.grad is not None
    assert float(z.grad.abs().max()) == 0


def test_the_command_line_offers_the_table() -> None:
    offered = {*CHOICES["local_loss"], *CHOICES["association"]}
    assert offered == {"associated", "target", *LOCAL_LOSSES}  # two more names of the default


def test_a_run_learns_by_what_it_names() -> None:
    spec = InputSpec(kind="table", num_classes=3, shape=(4,))
    config = RunConfig(local_loss="scpl", num_layers=2, hidden=8, bridge="block")
    net = build_network(resolved(config), spec)
    assert isinstance(net, al.ALNetwork)
    x, t = torch.randn(6, 4), torch.eye(3)[torch.arange(6) % 3]
    for layer in net.al_layers():
        assert layer.association is not None
        output = torch.randn(6, 3 + 128)
        expected = scpl_loss(output, t, F.cross_entropy)
        torch.testing.assert_close(layer.association(output, t), expected)
    assert net(x, 1).shape == (6, 3)

"""Branches: each variant ends with the bits that it would have alone, and so does the trunk."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

import associated_learning as al
from associated_learning.errors import InputError
from associated_learning.training.growth.branches import BranchedNetwork

RATES = {"narrow": 1e-3, "wide": 1e-2, "linear": 3e-3}


def _encoder(width_in: int, width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width_in, width), nn.BatchNorm1d(width), nn.Dropout(0.3))


def _top(f: nn.Module, width: int) -> al.ALLayer:
    return al.ALLayer(f=f, b=nn.Linear(width, 5), g=nn.Linear(6, 5), h=nn.Linear(5, 6))


def _parts() -> tuple[al.ALNetwork, dict[str, al.ALLayer], Tensor, Tensor]:
    torch.manual_seed(0)
    x = torch.randn(96, 4)
    y = (x[:, 0] > 0).long()
    trunk = al.al_form([_encoder(4, 8), _encoder(8, 8)], x, al.Classes(2), latent=6)
    variants = {
        "narrow": _top(_encoder(8, 3), 3),
        "wide": _top(_encoder(8, 20), 20),
        "linear": _top(nn.Linear(8, 7), 7),
    }
    return trunk, variants, x, y


def _batches(x: Tensor, y: Tensor) -> al.LoaderBatches:
    return al.LoaderBatches([(x[i::4], y[i::4]) for i in range(4)])


def _same(one: nn.Module, two: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("executor", ["sequential", "threads"])
def test_trunk_and_variants_train_as_if_alone(executor: str) -> None:
    trunk, variants, x, y = _parts()
    alone = {
        name: al.ALNetwork(copy.deepcopy([*trunk.al_layers(), layer]), trunk.target)
        for name, layer in variants.items()
    }
    for name, net in alone.items():
        rates = [1e-3, 1e-3, RATES[name]]
        al.Trainer(epochs=3, lr=rates, clip=1.0, executor="sequential").fit(net, _batches(x, y))
    branched = BranchedNetwork(trunk, variants)
    stages = 4 if executor == "threads" else None
    trainer = al.Trainer(
        epochs=3, lr=[1e-3, 1e-3, *RATES.values()], clip=1.0, executor=executor, stages=stages
    )
    trainer.fit(branched, _batches(x, y))
    for name, net in alone.items():
        assert _same(branched.keep(name), net), name


def test_the_trunk_is_computed_once() -> None:
    trunk, variants, x, y = _parts()
    calls: list[int] = []
    trunk.al_layers()[0].f.register_forward_hook(lambda *_: calls.append(1))
    al.Trainer(epochs=1, executor="sequential").fit(
        BranchedNetwork(trunk, variants), _batches(x, y)
    )
    assert len(calls) == 4  # batches


def test_the_best_variant_in_its_best_epoch_is_kept() -> None:
    trunk, variants, x, y = _parts()
    net = BranchedNetwork(trunk, variants)
    trainer = al.Trainer(epochs=6, lr=[1e-3, 1e-3, *RATES.values()])
    state = trainer.fit(net, _batches(x, y), _batches(x, y))
    scores = [record.scores[2:] for record in state.records]
    best = max(max(row) for row in scores)
    assert max(scores[state.best_epoch - 1]) == best
    ranked = net.rank(state)
    assert ranked[0].score == best
    assert {one.name for one in ranked} == set(variants)
    for one in ranked:
        kept = net.keep(one.name)
        assert al.evaluate(kept, _batches(x, y).epoch(0)).scores[-1] == pytest.approx(one.score)
        assert one.parameters == al.count_parameters(kept).inference[-1]


def test_every_depth_answers() -> None:
    trunk, variants, x, _ = _parts()
    net = BranchedNetwork(trunk, variants).eval()
    with torch.no_grad():
        outputs = list(net.exits(x))
        for depth, output in enumerate(outputs, start=1):
            torch.testing.assert_close(net(x, depth), output)
        for name, output in zip(variants, outputs[2:], strict=True):
            torch.testing.assert_close(net.keep(name)(x), output)


def test_bad_input() -> None:
    trunk, variants, x, y = _parts()
    with pytest.raises(InputError, match="no variant came"):
        BranchedNetwork(trunk, {})
    with pytest.raises(InputError, match="expected letters"):
        BranchedNetwork(trunk, {"a/b": variants["wide"]})
    with pytest.raises(InputError, match="belongs to layer 3 too"):
        BranchedNetwork(trunk, {"a": variants["wide"], "b": variants["wide"]})
    net = BranchedNetwork(trunk, variants)
    with pytest.raises(InputError, match="no variant 'wid'; expected one of narrow"):
        net.keep("wid")
    state = al.Trainer(epochs=1).fit(net, _batches(x, y))
    with pytest.raises(InputError, match="validation"):
        net.rank(state)

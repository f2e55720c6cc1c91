"""Lookahead bridges: a private copy of the next block, trained by its own layer's loss alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import associated_learning as al
from associated_learning.conversion.lookahead import copied_layers
from associated_learning.models.adapter import adapter_between
from associated_learning.models.lookahead import Lookahead
from associated_learning.state.optimizers import make_optimizers

X, Y = torch.randn(12, 6, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3
TARGET = al.Classes(3)


def block(width: int, out: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, out), nn.BatchNorm1d(out), nn.Dropout(0.2), nn.ReLU())


def encoders() -> list[nn.Module]:
    torch.manual_seed(1)
    return [block(6, 5), block(5, 8), block(8, 7), block(7, 4)]


def formed(**options: Any) -> al.ALNetwork:
    return al.al_form(encoders(), X, TARGET, latent=5, bridge="block", **options)


def converted(**options: Any) -> al.ALNetwork:
    model = nn.Sequential(*encoders(), nn.Linear(4, 3))
    return al.convert(
        model, X, target=TARGET, at=["1", "2", "3"], latent=5, bridge="block", **options
    )


def copies_of(layer: al.ALLayer) -> list[nn.Module]:
    return list(layer.readout.blocks) if isinstance(layer.readout, Lookahead) else []


@pytest.mark.parametrize("make", [formed, converted])
@pytest.mark.parametrize("blocks", [1, 2, 9])
def test_copies_begin_as_the_next_encoders_and_share_nothing(make: Any, blocks: int) -> None:
    layers = make(bridge_blocks=blocks).al_layers()
    for i, layer in enumerate(layers):
        originals = [other.f for other in layers[i + 1 : i + 1 + blocks]]
        copies = copies_of(layer)
        assert len(copies) == len(originals)
        for copy, original in zip(copies, originals, strict=True):
            pairs = zip(copy.parameters(), original.parameters(), strict=True)
            assert all(torch.equal(a, b) and a is not b for a, b in pairs)
    assert isinstance(layers[-1].b, nn.Linear)


@pytest.mark.parametrize("make", [formed, converted])
def test_a_loss_trains_its_encoder_its_copy_and_nothing_of_other_layers(make: Any) -> None:
    net = make()
    s: Any = X
    t = TARGET.encode(Y)
    for layer in net.al_layers():
        output = layer(s, t)
        net.zero_grad()
        sum(output.losses.values()).backward()
        reached = {id(p) for p in net.parameters() if p.grad is not None}
        assert reached == {id(p) for p in layer.parameters()}
        s, t = output.s, output.t


def test_the_bridge_reads_what_the_copy_makes_of_s() -> None:
    net = formed().eval()
    first, second, third, fourth = net.al_layers()
    s = first.f(X)
    torch.testing.assert_close(first.bridge(s), first.b(second.f(s)))  # not trained yet
    assert [layer.b.in_features for layer in (first, second, third, fourth)] == [8, 7, 4, 4]


def test_frozen_copies_are_left_as_they_are() -> None:
    net = formed(bridge_frozen=True)
    frozen = {name for name, p in net.named_parameters() if not p.requires_grad}
    assert frozen == {name for name, _ in net.named_parameters() if ".readout." in name}
    before = [p.clone() for layer in net.al_layers() for p in layer.readout.parameters()]
    al.Trainer(epochs=1, lr=0.1).fit(net, al.LoaderBatches([(X, Y)] * 3))
    after = [p for layer in net.al_layers() for p in layer.readout.parameters()]
    assert all(map(torch.equal, before, after))
    assert before


@pytest.mark.parametrize("make", [formed, converted])
def test_every_executor_ends_with_the_same_bits(make: Any, tmp_path: Path) -> None:
    found = []
    for executor in ("sequential", "threads"):
        torch.manual_seed(0)
        net = make()
        start = [p.clone() for p in copies_of(net.al_layers()[0])[0].parameters()]
        trainer = al.Trainer(epochs=2, lr=0.01, seed=3, executor=executor)
        trainer.fit(net, al.LoaderBatches([(X, Y)] * 3))
        learned = copies_of(net.al_layers()[0])[0].parameters()
        assert any(not torch.equal(a, b) for a, b in zip(start, learned, strict=True))
        found.append(net)
    states = [net.state_dict() for net in found]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    al.save_weights(found[0], tmp_path / "weights.safetensors")
    torch.manual_seed(9)
    again = make()
    al.load_weights(again, tmp_path / "weights.safetensors")
    assert torch.equal(again.eval()(X, 1), found[0].eval()(X, 1))


def test_prefixes_answer_as_the_network_and_the_laws_hold() -> None:
    net = converted(check="full")
    al.Trainer(epochs=1, lr=0.01).fit(net, al.LoaderBatches([(X, Y)] * 2))
    al.verify(net, (X, Y))
    for depth in range(1, 5):
        with torch.no_grad():
            assert torch.equal(net.eval().prefix(depth)(X), net(X, depth))
            assert torch.equal(net.to_model(X, depth)(X), net(X, depth))  # type: ignore[attr-defined]


def test_the_plan_counts_what_the_network_holds() -> None:
    model = nn.Sequential(*encoders(), nn.Linear(4, 3))
    options = al.ALOptions(latent=5, bridge="block", bridge_blocks=2)
    plan = al.plan(model, X, at=["1", "2", "3"], options=options)
    net = al.convert(model, X, target=TARGET, at=["1", "2", "3"], options=options)
    held = [
        sum(p.numel() for part in (layer.b, layer.readout) for p in part.parameters())
        for layer in net.al_layers()
    ]
    assert [layer.bridge_parameters for layer in plan.layers] == held
    assert plan.layers[0].reason == "a copy of layers 2 to 3, then: as it is: a vector"


@pytest.mark.parametrize("association", ["auto", None])
def test_targets_with_positions(association: Any) -> None:
    torch.manual_seed(0)
    stages = [nn.Linear(6, 8), nn.Sequential(Halved(), nn.Linear(8, 9)), nn.Linear(9, 8)]
    x, y = torch.randn(4, 10, 6), torch.randint(3, (4, 10))
    target = al.Classes(3, positions=1)
    net = al.al_form(stages, x, target, bridge="block", latent=5, association=association)
    al.verify(net, (x, y))
    assert [net(x, depth).shape for depth in (1, 2, 3)] == [(4, 10, 3)] * 3


class Halved(nn.Module):
    """Every other position."""

    def forward(self, s: Tensor) -> Tensor:
        return s[:, ::2]


def test_uniform_copies_are_spread_over_all_that_follow_and_fewer_towards_the_top() -> None:
    options = al.ALOptions(bridge="block", bridge_blocks=4, bridge_select="uniform")
    found = copied_layers(12, options)
    for i, numbers in enumerate(found[:-1]):
        ratio = 0.5 * i / 10  # as aux_depth_list of the released code
        depth = max(1, round(4 * (1 - ratio) + ratio))
        if depth >= 11 - i:
            assert numbers == list(range(i + 1, 12))
        else:
            assert numbers == [round(i + (11 - i) / depth * k) for k in range(1, depth + 1)]
    assert found[0] == [3, 6, 8, 11]
    assert found[-1] == []
    assert [len(numbers) for numbers in found] == [4, 4, 4, 4, 3, 3, 3, 3, 3, 2, 1, 0]


@pytest.mark.parametrize("make", [formed, converted])
def test_uniform_copies_get_what_they_take_and_train_with_their_layer_alone(make: Any) -> None:
    found = []
    for executor in ("sequential", "threads"):
        torch.manual_seed(0)
        net = make(bridge_select="uniform")
        first, top = net.al_layers()[0], net.al_layers()[-1]
        assert isinstance(first.readout, Lookahead)
        pairs = zip(first.readout.blocks.parameters(), top.f.parameters(), strict=True)
        assert all(torch.equal(a, b) and a is not b for a, b in pairs)
        adapter = first.readout.adapters[0].change  # from the 5 numbers of s_1 to the 7 of s_3
        assert (adapter.in_features, adapter.out_features) == (5, 7)
        al.verify(net, (X, Y))
        before = adapter.weight.clone()
        trainer = al.Trainer(epochs=2, lr=0.01, seed=3, executor=executor)
        trainer.fit(net, al.LoaderBatches([(X, Y)] * 3))
        assert not torch.equal(before, adapter.weight)
        found.append(net.state_dict())
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


@pytest.mark.parametrize(
    ("shapes", "fits"),
    [
        ([(2, 8, 28, 28), (2, 16, 4, 4)], True),
        ([(2, 8, 7, 7), (2, 8, 4, 4)], True),
        ([(2, 8, 4, 4), (2, 8, 8, 8)], False),
        ([(2, 8, 4, 4), (2, 64)], False),
        ([(2, 5, 8), (2, 5, 16)], False),  # tokens, or channels and one axis of pixels
    ],
)
def test_adapters_bring_images_to_the_form_of_others(shapes: Any, fits: bool) -> None:
    came, wanted = map(torch.zeros, shapes)
    adapter = adapter_between(came, wanted)
    assert (adapter is not None) == fits
    if adapter is not None:
        assert adapter(came).shape == wanted.shape


def test_sequences_keep_their_lengths() -> None:
    lengths = torch.tensor([3, 1])
    came = al.PaddedSequence(torch.zeros(2, 3, 4), lengths)
    adapter = adapter_between(came, al.PaddedSequence(torch.zeros(2, 3, 6), lengths))
    assert adapter is not None
    values, kept, _ = adapter(came)
    assert values.shape == (2, 3, 6)
    assert torch.equal(kept, lengths)


def test_a_block_that_no_map_leads_to_is_refused() -> None:
    stages = [nn.Linear(6, 8), nn.Unflatten(1, (2, 4)), nn.Linear(4, 4), nn.Flatten()]
    with pytest.raises(
        al.InputError, match=r"a copy of layer 4 on what layer 1 gives, \[\[12, 8\]\]"
    ):
        al.al_form(stages, X, TARGET, readout=nn.Flatten(), bridge="block", bridge_select="uniform")


def test_an_encoder_that_writes_into_its_input_is_refused() -> None:
    with pytest.raises(al.InputError, match=r"encoder 2 \(ReLU\) writes into its input"):
        al.al_form([nn.Linear(6, 5), nn.ReLU(inplace=True)], X, TARGET, bridge="block")


def test_a_slice_that_does_so_gets_a_copy_of_it() -> None:
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(inplace=True), nn.Linear(5, 5), nn.Linear(5, 3))
    net = al.convert(model, X, target=TARGET, at=["1"], bridge="block").eval()
    first = net.al_layers()[0]
    s = first.f(X)
    first.bridge(s)
    assert torch.equal(s.values, model[0](X))
    assert (s.values < 0).any()


def test_a_selection_that_is_none_is_refused() -> None:
    with pytest.raises(
        al.InputError, match="bridge_select='last' came; expected one of next, unif"
    ):
        formed(bridge_select="last")


@pytest.mark.parametrize("blocks", [0, 1.5])
def test_a_number_of_blocks_that_is_none_is_refused(blocks: Any) -> None:
    with pytest.raises(al.InputError, match=f"bridge_blocks={blocks} came; expected a whole"):
        formed(bridge_blocks=blocks)


def test_copies_learn_by_the_rate_of_their_encoder() -> None:
    net = formed()
    optimizer = make_optimizers(net.blocks(), lr=0.1, encoder_lr=[0.01, 0.02, 0.03, 0.04])[1]
    assert optimizer is not None
    layer = net.al_layers()[1]
    groups = [(group["lr"], {id(p) for p in group["params"]}) for group in optimizer.param_groups]
    encoder = {id(p) for part in (layer.f, *copies_of(layer)) for p in part.parameters()}
    assert groups == [(0.1, {id(p) for p in layer.parameters()} - encoder), (0.02, encoder)]

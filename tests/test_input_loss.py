"""Layers that also reconstruct their own input, against the formula and naive training."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import associated_learning as al
from associated_learning.models import BiLSTM
from associated_learning.models.input_decoder import InputDecoder

Y = torch.arange(6) % 3
VECTORS = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
IMAGES = torch.randn(6, 2, 9, 9, generator=torch.Generator().manual_seed(0))
TEXTS = al.PaddedSequence(torch.randint(1, 9, (6, 7)), torch.tensor([7, 3, 5, 1, 7, 2]))


def dense() -> list[nn.Module]:
    return [nn.Sequential(nn.Linear(a, b), nn.Dropout(0.2), nn.Tanh()) for a, b in ((5, 8), (8, 6))]


def network(kind: str, weight: float = 0.5, **options: Any) -> al.ALNetwork:
    torch.manual_seed(1)
    target = al.Classes(3)
    options = {"latent": 4, "input_loss": weight, **options}
    if kind == "texts":
        layers = BiLSTM(vocabulary_size=9, embedding_dim=4, hidden=3, out_features=3).layers
        return al.al_form(layers, TEXTS, target, **options)
    if kind == "images":
        convolutions = [nn.Conv2d(2, 4, 3, stride=2), nn.Conv2d(4, 3, 3), nn.Conv2d(3, 3, 1)]
        return al.al_form(convolutions, IMAGES, target, **options)
    if kind == "converted":
        model = nn.Sequential(*dense(), nn.Linear(6, 6), nn.Linear(6, 3))
        return al.convert(model, VECTORS, target=target, at=["1", "2"], **options)
    return al.al_form([*dense(), nn.Linear(6, 6)], VECTORS, target, **options)


DATA = {"vectors": VECTORS, "converted": VECTORS, "images": IMAGES, "texts": TEXTS}


def told(x: Any) -> Tensor:
    return x if isinstance(x, Tensor) else x.values


@pytest.mark.parametrize("kind", DATA)
def test_the_loss_is_the_share_of_the_input_that_is_not_told(kind: str) -> None:
    net = network(kind).eval()
    s: Any = DATA[kind]
    for number, (layer, out) in enumerate(
        zip(net.al_layers(), net.associate(s, Y), strict=True), start=1
    ):
        has_none = number == net.num_layers or (kind == "texts" and number == 1)
        assert (layer.input_decoder is None) == has_none == ("input" not in out.losses)
        if not has_none:
            assert isinstance(layer.input_decoder, InputDecoder)
            decode = layer.input_decoder.decode
            wanted, values = told(s), told(out.s)
            found = decode(values, wanted.shape[2:]) if kind == "images" else decode(values)
            if kind == "texts":  # each sentence without its padding
                lengths = TEXTS.lengths.tolist()
                wanted = torch.cat([v[:n] for v, n in zip(wanted, lengths, strict=True)])
                found = torch.cat([v[:n] for v, n in zip(found, lengths, strict=True)])
            share = ((found - wanted) ** 2).mean() / wanted.var(correction=0)
            torch.testing.assert_close(out.losses["input"], 0.5 * share)
        s = out.s


@pytest.mark.parametrize("kind", DATA)
def test_it_trains_its_own_layer_alone_in_every_executor(kind: str) -> None:
    x, found = DATA[kind], []
    al.verify(network(kind), (x, Y))  # isolation and the others
    for executor in ("sequential", "threads"):
        net = network(kind)
        trainer = al.Trainer(epochs=2, lr=0.01, seed=3, executor=executor)
        trainer.fit(net, al.LoaderBatches([(x, Y)] * 3))
        found.append(net.state_dict())
    fresh = network(kind).state_dict()
    assert any(".input_decoder." in name for name in fresh)
    for name in fresh:
        assert torch.equal(found[0][name], found[1][name])
        if ".input_decoder." in name:
            assert not torch.equal(found[0][name], fresh[name])


def test_it_changes_no_other_beginning_and_no_prefix() -> None:
    net, plain = network("images"), network("images", 0.0)
    state = net.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in plain.state_dict().items())
    assert net.prefix(2).state_dict().keys() == plain.prefix(2).state_dict().keys()
    assert al.count_parameters(net).inference == al.count_parameters(plain).inference


def test_a_decoder_learns_to_tell_what_its_layer_keeps() -> None:
    net = network("vectors", association="squared")
    trainer = al.Trainer(epochs=100, lr=0.04)
    trainer.fit(net, al.LoaderBatches([(VECTORS, Y)]))
    lost = net.eval().associate(VECTORS, Y)[0].losses["input"] / 0.5
    assert lost < 0.05  # eight numbers can keep five


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: network("vectors", -1.0), "input_loss=-1.0 came; expected a weight of at least 0"),
        (
            lambda: al.al_form(dense()[:1], VECTORS, al.Classes(3), input_loss=1.0),
            "in which no layer below the last has an input of real numbers",
        ),
        (
            lambda: al.al_form(
                [nn.Flatten(), nn.Linear(162, 4)], IMAGES, al.Classes(3), input_loss=1.0
            ),
            r"layer 1, which makes \[6, 162\] of \[6, 2, 9, 9\]; expected vectors",
        ),
    ],
)
def test_what_has_no_decoder_is_refused(make: Any, message: str) -> None:
    with pytest.raises(al.InputError, match=message):
        make()

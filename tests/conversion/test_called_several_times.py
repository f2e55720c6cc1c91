"""A module that is called several times: taken apart, or in one layer; never copied."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import associated_learning as al
from conversion.oracle import TARGET, Maps, check_as_the_model, layers_of

X = torch.randn(6, 8)


class Numbered(nn.Module):
    """Holds all blocks, and is called with a number."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(16, 16) for _ in range(3))

    def forward(self, x: Tensor, i: int) -> Tensor:
        mapped: Tensor = self.maps[i](x)
        return mapped.relu()


class Named(nn.Module):
    """The same with a dictionary, statistics without parameters, and a block inside a block."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Numbered()
        self.norms = nn.ModuleDict({str(i): nn.BatchNorm1d(16, affine=False) for i in range(3)})

    def forward(self, x: Tensor, i: int) -> Tensor:
        normed: Tensor = self.norms[str(i)](self.inner(x, i))
        return normed


class Blocks(Maps):
    def __init__(self, blocks: nn.Module) -> None:
        super().__init__()
        self.blocks = blocks

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        for i in range(3):
            x = self.blocks(x, i)
        scores: Tensor = self.out(x)
        return scores


@pytest.mark.parametrize("blocks", [Numbered, Named])
def test_each_layer_holds_the_block_that_it_uses(blocks: type[nn.Module]) -> None:
    net = check_as_the_model(Blocks(blocks()), X, torch.randn(3, 8), at=4)
    used = {name: homes for name, homes in layers_of(net).items() if "map" in name}
    assert [homes for name, homes in used.items() if name.endswith("weight")] == [[2], [3], [4]]
    holders = [i for i, layer in enumerate(net.al_layers()) for _ in layer.f.buffers()]
    assert sorted(set(holders)) == ([1, 2, 3] if blocks is Named else [])


def test_training_trains_the_backbone() -> None:
    model = Blocks(Numbered())
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    net = al.convert(model, X, target=TARGET, at=4)
    al.Trainer(epochs=1, lr=1e-2).fit(net, al.LoaderBatches([(X, torch.arange(6) % 3)]))
    unchanged = {n for n, p in net.backbone().named_parameters() if torch.equal(p, before[n])}
    assert unchanged == {n for n in before if n.startswith(("out", "b.", "c."))}  # not called


class TwoWays(nn.Module):
    """An encoder and a decoder in one module, which a word chooses between."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode = nn.Linear(8, 16), nn.Linear(16, 16)

    def forward(self, x: Tensor, way: str) -> Tensor:
        mapped: Tensor = self.encode(x) if way == "encode" else self.decode(x)
        return mapped


class Autoencoder(Maps):
    def __init__(self) -> None:
        super().__init__()
        self.ways = TwoWays()

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.out(self.ways(self.b(self.ways(x, "encode")).relu(), "decode"))
        return scores


def test_two_ways_through_one_module() -> None:
    net = check_as_the_model(Autoencoder(), X, at=["b", "ways.decode"])
    homes = layers_of(net)
    assert homes["ways.encode.weight"] == [1]
    assert homes["ways.decode.weight"] == [3]


class Shared(Maps):
    """One map, called twice, once through its weight alone."""

    def forward(self, x: Tensor) -> Tensor:
        h = self.b(self.a(x).relu())
        scores: Tensor = self.out(self.c(h).relu() @ self.b.weight)
        return scores


def test_what_is_truly_shared_stays_in_one_layer() -> None:
    with pytest.raises(al.ConversionError, match=r"b\.weight would belong to the layers on both"):
        al.plan(Shared(), X, at=["c"])
    assert layers_of(check_as_the_model(Shared(), X, at=["b"]))["b.weight"] == [2]


class Chosen(nn.Module):
    """Looks at the data, so that it cannot be taken apart."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(16, 16) for _ in range(3))

    def forward(self, x: Tensor, i: int) -> Tensor:
        mapped: Tensor = self.maps[i](x if x.sum() > 0 else -x)
        return mapped


def test_blocks_that_cannot_be_taken_apart_are_refused() -> None:
    with pytest.raises(al.ConversionError, match="blocks: its forward depends on the content"):
        al.plan(Blocks(Chosen()), X, at={"blocks": "end"})


@pytest.mark.parametrize("make", [lambda: Blocks(Numbered()), Autoencoder, Shared])
def test_no_parameter_is_in_two_layers(make: Any) -> None:
    net = al.convert(make(), X, target=TARGET)
    assert all(len(homes) <= 1 for homes in layers_of(net).values())
    own = {id(p) for p in net.backbone().parameters()}
    assert all(id(p) in own for layer in net.al_layers() for p in layer.f.parameters())

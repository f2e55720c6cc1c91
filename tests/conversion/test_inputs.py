"""Inputs of every form: nested, shared by all samples, masks of either sense, linked rows."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import associated_learning as al

Y = torch.arange(8) % 3


class Nested(nn.Module):
    """Takes a dictionary in a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.embed = nn.Linear(8, 16), nn.Embedding(50, 16)
        self.a, self.b, self.out = nn.Linear(32, 16), nn.Linear(16, 16), nn.Linear(16, 3)

    def forward(self, image: Tensor, text: dict[str, Tensor]) -> Tensor:
        h = torch.cat([self.image(image), self.embed(text["ids"]).mean(1)], 1)
        return self.out(self.b(self.a(h).relu()).relu())


class OneBatch(Nested):
    """Takes one dictionary, as modules of Lightning do."""

    def forward(self, batch: dict[str, Any]) -> Tensor:  # type: ignore[override]
        return super().forward(batch["image"], batch["text"])


class Levels(Nested):
    """Takes a list of tensors."""

    def forward(self, levels: list[Tensor]) -> Tensor:  # type: ignore[override]
        return self.out(self.b(self.image(levels[0] + 2 * levels[1]).relu()).relu())


def nested(n: int) -> dict[str, Any]:
    return {"image": torch.randn(n, 8), "text": {"ids": torch.randint(0, 50, (n, 6))}}


def levels(n: int) -> tuple[list[Tensor]]:
    return ([torch.randn(n, 8), torch.randn(n, 8)],)


@pytest.mark.parametrize(
    ("kind", "batch", "cut"),
    [
        (Nested, nested, "a"),
        (OneBatch, nested, "a"),
        (OneBatch, lambda n: (nested(n),), "a"),
        (Levels, levels, "b"),
    ],
    ids=["dictionary", "one dictionary", "one dictionary in a tuple", "list"],
)
@pytest.mark.parametrize("samples", [4, 8])
def test_nested_inputs(kind: type[Nested], batch: Any, cut: str, samples: int) -> None:
    model = kind()
    net = al.convert(model, batch(samples), target=al.Classes(3), at=[cut]).eval()
    x, got = batch(5), []
    with torch.no_grad(), model.out.register_forward_pre_hook(lambda m, a: got.append(a[0])):
        model(**x) if kind is Nested else model(*x if isinstance(x, tuple) else (x,))
        s = x
        for layer in net.layers:
            s = layer.f(s)
    assert torch.equal(s.values, got[0])
    al.verify(net, (batch(8), Y))
    al.Trainer(epochs=1).fit(net, al.LoaderBatches([(batch(8), Y)]))


def test_another_form_than_the_examples_is_named() -> None:
    net = al.convert(Nested(), nested(4), target=al.Classes(3), at=["a"])
    x = nested(4)
    x["text"] = {"words": x["text"]["ids"]}
    with pytest.raises(al.InputError, match=r"\['words'\] came for text; expected ids"):
        net(x)


class Decoder(nn.Module):
    """Takes a mask ``[T, T]``, the same for all samples."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.out = nn.Embedding(50, 16), nn.Linear(16, 3)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(16, 2, 32, batch_first=True) for _ in range(2)
        )

    def forward(self, ids: Tensor, src_mask: Tensor) -> Tensor:
        h = self.embed(ids)
        for block in self.blocks:
            h = block(h, src_mask=src_mask)
        return self.out(h[:, -1])


@pytest.mark.parametrize("length", [10, 8, 4])
@pytest.mark.parametrize("additive", [True, False])
def test_a_mask_that_is_the_same_for_all_samples(length: int, additive: bool) -> None:
    mask: Tensor = nn.Transformer.generate_square_subsequent_mask(length)
    x = (torch.randint(0, 50, (8, length)), mask if additive else mask.isinf())
    net = al.convert(Decoder(), x, target=al.Classes(3), at=["blocks.1"])
    al.verify(net, (x, Y))
    al.Trainer(epochs=1).fit(net, al.LoaderBatches([(x, Y)]))
    assert net.eval()(x).shape == (8, 3)
    al.verify(net, ((x[0][:1], x[1]), Y[:1]))


def test_minus_infinity_beside_other_values_is_refused_as_ever() -> None:
    x = torch.randn(4, 8)
    x[0, 0] = -torch.inf
    with pytest.raises(al.InputError, match="1 NaN or infinite values came"):
        al.convert(nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 3)), x, target=al.Classes(3), at=2)


class Masked(nn.Module):
    """Averages over the real positions; what its mask says is given."""

    def __init__(self, true_is_padding: bool) -> None:
        super().__init__()
        self.embed, self.a, self.b = nn.Embedding(50, 16), nn.Linear(16, 16), nn.Linear(16, 16)
        self.out, self.true_is_padding = nn.Linear(16, 3), true_is_padding

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        padding = mask.bool() if self.true_is_padding else ~mask.bool()
        h = self.b(self.a(self.embed(ids)).tanh()).tanh()
        h = h.masked_fill(padding[..., None], 0).sum(1)
        return self.out(h / (~padding).sum(1, keepdim=True))


@pytest.mark.parametrize("padded", [True, False], ids=["padded example", "nothing padded"])
@pytest.mark.parametrize("kind", [torch.bool, torch.int64, torch.float32])
@pytest.mark.parametrize("true_is_padding", [True, False])
def test_what_a_mask_means_is_told_by_the_model(
    true_is_padding: bool, kind: torch.dtype, padded: bool
) -> None:
    ids = torch.randint(1, 50, (8, 10))
    lengths = torch.tensor([10, 3, 4, 5, 6, 7, 8, 9])
    padding = torch.arange(10) >= lengths[:, None]

    def as_mask(padding: Tensor) -> Tensor:
        return (padding if true_is_padding else ~padding).to(kind)

    example = as_mask(padding if padded else torch.zeros_like(padding))
    net = al.convert(Masked(true_is_padding), (ids, example), target=al.Classes(3), at=["a", "b"])
    said = "true" if true_is_padding else "false"
    assert net.plan.layers[0].reason.endswith(f"without padding (where mask is {said})")
    mask, other = as_mask(padding), ids.clone()
    other[padding] = torch.randint(1, 50, (int(padding.sum()),))
    with torch.no_grad():
        for depth in (1, 2, 3):
            assert torch.equal(net.eval()((ids, mask), depth), net((other, mask), depth))


class Unread(Masked):
    """Does not use its mask, so that it cannot be told what it means."""

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.out(self.b(self.a(self.embed(ids)).tanh()).tanh().mean(1) + 0 * mask[:, :1])


def test_a_mask_that_the_model_does_not_use_counts_only_if_it_is_said() -> None:
    x = (torch.randint(1, 50, (8, 10)), torch.arange(10).expand(8, 10) >= 5)
    plan = al.plan(Unread(True), x, at=["a"])
    assert plan.layers[0].reason == "mean over positions"
    for said, expected in ({"padding": ["mask"]}, "true"), ({"keep": ["mask"]}, "false"):
        plan = al.plan(Unread(True), al.Example(x, **said), at=["a"])  # type: ignore[arg-type]
        assert plan.layers[0].reason == (
            f"mean over positions, without padding (where mask is {expected})"
        )


def test_a_mask_is_named_as_it_is_or_not_at_all() -> None:
    with pytest.raises(
        al.InputError, match="masks came as an input's name; expected one of ids, m"
    ):
        al.plan(
            Unread(True), al.Example((torch.ones(4, 3).long(), torch.ones(4, 3)), keep=["masks"])
        )
    with pytest.raises(al.InputError, match="mask came both for padding and for keep"):
        al.Example(torch.ones(2), padding=["mask"], keep=["mask"])


class Graph(nn.Module):
    """A network over the nodes of a graph."""

    def __init__(self) -> None:
        super().__init__()
        self.maps, self.out = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)]), nn.Linear(8, 3)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        for linear in self.maps:
            around = torch.zeros_like(x).index_add(0, edges[1], linear(x)[edges[0]])
            x = (x + around).relu()
        return self.out(x)


def test_nodes_of_a_graph_are_linked_rows() -> None:
    x = (torch.randn(20, 8), torch.randint(0, 20, (2, 60)))
    with pytest.raises(al.InputError, match=r"runs on the whole example.*linked=True"):
        al.plan(Graph(), x)
    example = al.Example(x, shared=["edges"], linked=True)
    net = al.convert(Graph(), example, target=al.Classes(3), at=["maps.1"])
    y = torch.arange(20) % 3
    al.verify(net, (x, y))
    al.Trainer(epochs=1).fit(net, al.LoaderBatches([(x, y)]))
    assert net.eval()(x).shape == (20, 3)


class Bag(nn.Module):
    """Torch's tutorial on texts: one row of all tokens, and where each text begins."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.a, self.out = nn.EmbeddingBag(50, 16), nn.Linear(16, 16), nn.Linear(16, 3)

    def forward(self, text: Tensor, offsets: Tensor) -> Tensor:
        return self.out(self.a(self.embed(text, offsets)).relu())


def test_bags_of_tokens() -> None:
    x = (torch.randint(0, 50, (80,)), torch.arange(0, 80, 10))
    example = al.Example(x, shared=["text"], linked=True)
    net = al.convert(Bag(), example, target=al.Classes(3), at=["a"])
    al.verify(net, (x, Y))
    al.Trainer(epochs=1).fit(net, al.LoaderBatches([(x, Y)]))
    assert net.eval()(x, 1).shape == (8, 3)

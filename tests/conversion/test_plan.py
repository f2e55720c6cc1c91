"""Plans: what is balanced, what is shown, which readouts and partners are chosen."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import associated_learning as al
from conversion.modules import Biased, TimeFirst, dense, residual_cnn


def stacked(widths: list[int]) -> nn.Sequential:
    pairs = itertools.pairwise([6, *widths])
    return nn.Sequential(*(nn.Linear(a, b) for a, b in pairs), nn.Linear(widths[-1], 3))


def split(at: Any, widths: list[int], balance: Any) -> list[tuple[str, ...]]:
    plan = al.plan(stacked(widths), torch.randn(2, 6), at=at, balance=balance)
    return [layer.modules for layer in plan.layers]


@pytest.mark.parametrize("layers", [2, 3, 4])
def test_layers_are_balanced_as_well_as_any_cuts_could(layers: int) -> None:
    """Against trying all cuts, with the parameters of a Linear counted by hand."""
    widths = [40, 3, 25, 60, 8, 30, 50, 4]
    sizes = [(a + 1) * b for a, b in itertools.pairwise([6, *widths])]

    def worst(cuts: tuple[int, ...]) -> int:
        return max(sum(sizes[a:b]) for a, b in itertools.pairwise([0, *cuts, len(sizes)]))

    best = min(worst(cuts) for cuts in itertools.combinations(range(1, len(sizes)), layers - 1))
    found = split(layers, widths, "parameters")
    assert max(sum(sizes[int(name)] for name in names) for names in found) == best


def test_flops_and_parameters_balance_differently() -> None:
    """A convolution with few weights on a large image costs more than a large dense map."""
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.AdaptiveAvgPool2d(2),
        nn.Flatten(), nn.Linear(32, 256), nn.Linear(256, 256), nn.Linear(256, 3),
    )  # fmt: skip
    x = torch.randn(2, 1, 16, 16)
    by_flops = al.plan(model, x, at=2, balance="flops")
    by_parameters = al.plan(model, x, at=2, balance="parameters")
    convolutions = 2 * 2 * 9 * 256 * (1 * 8 + 8 * 8)  # 2 samples, 256 positions
    dense_maps = 2 * 2 * (32 * 256 + 256 * 256)
    assert by_flops.layers[0].modules == ("0", "1", "2", "3")
    assert by_flops.layers[0].share == pytest.approx(convolutions / (convolutions + dense_maps))
    assert by_parameters.layers[1].modules == ("5",)


def test_flops_of_fused_layers_are_counted() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    wide = nn.TransformerEncoderLayer(8, 2, 64, batch_first=True)
    model = nn.Sequential(nn.Linear(8, 8), layer, wide, nn.Flatten(), nn.Linear(40, 3))
    plan = al.plan(model, torch.randn(4, 5, 8), at=["1", "2"], balance="flops")
    tokens, samples = 20, 4
    attention = 2 * tokens * 8 * (3 * 8 + 8) + 2 * 2 * samples * 25 * 8
    expected = [2 * tokens * 64, *(attention + 2 * 2 * tokens * 8 * width for width in (16, 64))]
    for found, count in zip(plan.layers, expected, strict=True):
        assert found.share == pytest.approx(count / sum(expected))


def test_time_is_measured() -> None:
    class Slow(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            for _ in range(300):
                x = x + torch.tanh(x) * 0
            return super().forward(x)

    model = nn.Sequential(*(nn.Linear(8, 8) for _ in range(5)), Slow(8, 8), nn.Linear(8, 3))
    plan = al.plan(model, torch.randn(2, 8), at=2, balance="time")
    assert plan.layers[1].modules == ("5",)
    assert plan.layers[1].share > 0.5
    assert sum(layer.share for layer in plan.layers) == pytest.approx(1)


def test_names_begin_layers_and_end_them() -> None:
    model, x = dense(), torch.randn(2, 6)
    begins = al.plan(model, x, at=["2", "4"])
    assert [layer.modules for layer in begins.layers] == [("0", "1"), ("2", "3"), ("4", "5")]
    ends = al.plan(model, x, at={"2": "end", "4": "beginning"})
    assert [layer.modules for layer in ends.layers] == [("0", "1", "2"), ("3",), ("4", "5")]

    class SplitPoint:  # as the enum of torch.distributed.pipelining
        name = "END"

    assert al.plan(model, x, at={"2": SplitPoint()}).layers[0].modules == ("0", "1", "2")


def test_the_head_is_found_named_or_kept() -> None:
    model, x = dense(), torch.randn(2, 6)
    assert al.plan(model, x, at=2).dropped == ("6",)
    assert "6" in str(al.plan(model, x, at=2))
    assert al.plan(model, x, at=2, head=None).dropped == ()
    assert al.plan(model, x, at=2, head=["4"]).dropped == ("4", "6")
    with pytest.raises(al.InputError, match="'7' came"):
        al.plan(model, x, at=2, head=["7"])


def test_a_plan_prints_as_a_table() -> None:
    lines = str(al.plan(residual_cnn(), torch.randn(2, 3, 8, 8), at=["2", "4"])).splitlines()
    assert lines[0] == "Sequential in 3 layers"
    assert [word in lines[1] for word in ("modules", "readout", "bridge", "time")] == [True] * 4
    assert lines[3].split()[:3] == ["1", "0,", "1"]
    assert "B x 8 x 8 x 8" in lines[3]
    assert "128 numbers instead of 512" in lines[3]
    assert f"{129 * 128:,}" in lines[3]
    assert lines[-1].endswith("take their place: 7")


def read(model: nn.Module, x: Any, **options: Any) -> tuple[al.ALNetwork, list[Tensor]]:
    """Return a converted network and what its readouts give."""
    net = al.convert(model, x, target=al.Classes(5), **options).eval()
    found, s = [], x
    with torch.no_grad():
        for layer in net.layers:
            s = layer.f(s)
            found.append(layer.readout(s))
    return net, found


def test_sequences_are_averaged_without_padding() -> None:
    ids = torch.randint(0, 30, (3, 6))
    mask = torch.tensor([[1] * 6, [1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0]])
    net, found = read(Biased(), {"ids": ids, "attention_mask": mask}, at=["blocks.1"])
    with torch.no_grad():
        s = net.layers[0].f({"ids": ids, "attention_mask": mask}).values
    expected = torch.stack([s[i, : mask[i].sum()].mean(0) for i in range(3)])
    assert torch.allclose(found[0], expected, atol=1e-6)


def test_samples_that_are_not_the_first_axis_are_found() -> None:
    x = torch.randn(4, 3, 6)
    net, found = read(TimeFirst(), x, at=["second"])
    with torch.no_grad():
        s = net.layers[0].f(x).values
    assert s.shape == (3, 4, 8)
    assert torch.allclose(found[0], s.mean(0), atol=1e-6)


@pytest.mark.parametrize(
    ("model", "x", "axis"),
    [
        (nn.Sequential(nn.Conv1d(3, 5, 3), nn.ReLU()), torch.randn(2, 3, 9), 1),
        (nn.Sequential(nn.Linear(3, 5), nn.ReLU()), torch.randn(2, 9, 3), 2),
        (nn.Sequential(nn.Conv3d(3, 5, 3), nn.Dropout()), torch.randn(2, 3, 4, 4, 4), 1),
        (nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5)), torch.randn(2, 4, 4, 2, 3), 4),
    ],
    ids=["conv1d", "tokens", "conv3d", "channels last"],
)
def test_positions_are_averaged_not_features(model: nn.Module, x: Tensor, axis: int) -> None:
    whole = nn.Sequential(model, nn.Flatten(), nn.LazyLinear(7), nn.Linear(7, 5))
    whole(x)
    _, found = read(whole, x, at=["2"])
    with torch.no_grad():
        s = model.eval()(x)
    # layer 1 ends after the flattening; the same readout is asked for before it
    _, found = read(whole, x, at=["1"])
    expected = s.movedim(axis, 1).flatten(2).mean(2)
    assert torch.allclose(found[0], expected, atol=1e-6)


def test_a_long_chain_of_functions_is_followed_back_once() -> None:
    """Each link branches in two: followed anew at every branch, 30 links would take years."""

    class Chained(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(6))
            self.block, self.head = nn.Linear(6, 6), nn.Linear(6, 5)

        def forward(self, x: Tensor) -> Tensor:
            h = x * self.scale
            for _ in range(30):
                h = h + torch.tanh(h)
            return self.head(self.block(h).mean(1))

    x = torch.randn(4, 3, 6) / 100
    _, found = read(Chained(), x, at=["block"], balance="parameters")
    assert found[0].shape == (4, 6)


def test_images_are_read_on_a_grid_that_keeps_bridges_small() -> None:
    shapes = {8: (4, 128), 300: (2, 1200), 600: (1, 600)}
    for channels, (side, width) in shapes.items():
        model = nn.Sequential(
            nn.Conv2d(3, channels, 1), nn.Conv2d(channels, 4, 1), nn.Flatten(), nn.Linear(256, 5)
        )
        x = torch.randn(2, 3, 8, 8)
        _, found = read(model, x, at=["1"])
        with torch.no_grad():
            s = model[0](x)
        cell = 8 // side
        cells = s.unfold(2, cell, cell).unfold(3, cell, cell).mean((4, 5)).flatten(1)
        assert found[0].shape == (2, width)
        assert torch.allclose(found[0], cells, atol=1e-5)


def test_a_flatten_bridge_is_made_where_it_is_asked_for() -> None:
    class All(nn.Module):
        def forward(self, s: Any) -> Tensor:
            return s.values.flatten(1)

    x = torch.randn(2, 3, 8, 8)
    net = al.convert(residual_cnn(), x, target=al.Classes(5), at=["2"], readout=[All(), All()])
    assert net.layers[0].b.in_features == 512
    assert net.plan.layers[0].bridge_parameters == sum(
        p.numel() for p in net.layers[0].b.parameters()
    )
    assert net.plan.layers[0].reason == "as given"


class Special(nn.Linear):
    """A user's own type of module."""


def test_a_registered_readout_and_partners_are_used_for_their_own_module() -> None:
    class Double(nn.Module):
        def forward(self, s: Tensor) -> Tensor:
            return torch.cat([s, s], 1)

    @al.register_readout(Special)
    def twice(activation: Any) -> nn.Module:
        return Double()

    @al.register_partners(Special)
    def bare(width: int, below: int, latent: int) -> al.Partners:
        return al.Partners(
            nn.Linear(width, latent, bias=False), nn.Linear(below, latent), nn.Linear(latent, below)
        )

    class Derived(Special):
        pass

    model = nn.Sequential(nn.Linear(6, 8), Special(8, 8), Derived(8, 8), nn.Linear(8, 5))
    net = al.convert(model, torch.randn(4, 6), target=al.Classes(5), at=["1", "2"], latent=7)
    assert [layer.b.in_features for layer in net.layers] == [8, 16, 16]
    assert [layer.b.bias is None for layer in net.layers] == [False, True, True]
    assert [layer.bridge_parameters for layer in net.plan.layers] == [63, 112, 112]
    assert net.plan.layers[2].reason == "twice, registered for Special"
    assert al.verify(net, (torch.randn(4, 6), torch.arange(4)))


def test_bridges_are_counted_as_they_are_made() -> None:
    for kind in ("linear", "activated", "mlp"):
        net = al.convert(
            dense(), torch.randn(2, 6), target=al.Classes(5), at=3, bridge=kind,  # type: ignore[arg-type]
            bridge_hidden=11, latent=[3, 4, 5],
        )  # fmt: skip
        for layer, planned in zip(net.layers, net.plan.layers, strict=True):
            assert planned.bridge_parameters == sum(p.numel() for p in layer.b.parameters())
            assert planned.parameters == sum(p.numel() for p in layer.f.parameters())


def test_of_a_head_that_is_kept_in_part_the_rest_alone_is_dropped() -> None:
    head = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 8), head)
    plan = al.plan(model, torch.randn(4, 4), at=["1"])
    assert plan.layers[-1].modules == ("1", "2.0", "2.1")
    assert plan.dropped == ("2.2",)

"""What other libraries and torch's own corners bring: converted, or refused for its own reason."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.utils.checkpoint import checkpoint

import associated_learning as al
from conversion.oracle import TARGET, Maps, chained, check_as_the_model

X, Y = torch.randn(6, 8), torch.arange(6) % 3


pytestmark = [
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad"),  # checkpoint's own
]


def _quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    quick_gelu = torch.jit.script(_quick_gelu)


class ScriptedFunction(Maps):
    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.out(quick_gelu(self.c(quick_gelu(self.b(quick_gelu(self.a(x)))))))
        return scores


class Checkpointed(Maps):
    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        for block in (self.b, self.c):
            h = checkpoint(block, h, use_reentrant=self.reentrant).relu()
        scores: Tensor = self.out(h)
        return scores


class Random(Maps):
    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.out(self.c(self.b(self.a(x) + torch.rand(16)).relu()).relu())
        return scores


@pytest.mark.parametrize(
    "model",
    [ScriptedFunction, lambda: Checkpointed(True), lambda: Checkpointed(False), Random],
    ids=["scripted", "reentrant", "checkpointed", "random in evaluation"],
)
def test_is_converted_as_it_is(model: Any) -> None:
    check_as_the_model(model(), X, torch.randn(3, 8), at=["b", "c"])


@pytest.mark.parametrize("reentrant", [True, False])
def test_the_plan_says_where_checkpoints_are_left_out(reentrant: bool) -> None:
    taken_apart = al.plan(Checkpointed(reentrant), X, at=["b", "c"])
    assert any(
        note.startswith("the checkpoints of the model itself are left out")
        for note in taken_apart.notes
    )
    whole = nn.Sequential(nn.Linear(8, 8), Checkpointed(reentrant), nn.Linear(3, 3))
    kept = al.plan(whole, X, at=["1"], head=None)
    assert not any("checkpoint" in note for note in kept.notes)


def test_scripted_and_compiled_modules_are_whole() -> None:
    parts = [nn.Sequential(nn.Linear(16, 16), nn.ReLU()) for _ in range(3)]
    scripted = [torch.jit.script(part) for part in copy.deepcopy(parts)]
    compiled = [torch.compile(part, backend="eager") for part in copy.deepcopy(parts)]
    for middle in (scripted, compiled):
        model = nn.Sequential(nn.Linear(8, 16), *middle, nn.Linear(16, 3))
        net = al.convert(model, X, target=TARGET, at=["1", "2", "3"])
        with torch.no_grad():
            assert torch.equal(chained(net.eval(), X), model[:-1](X))


def test_einops_between_the_blocks() -> None:
    einops = pytest.importorskip("einops")

    class Patches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.proj, self.token = nn.Linear(12, 16), nn.Parameter(torch.randn(1, 1, 16))
            self.blocks = nn.ModuleList(nn.Linear(16, 16) for _ in range(3))
            self.out = nn.Linear(16, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = einops.rearrange(x, "b c (h p) (w q) -> b (h w) (p q c)", p=2, q=2)
            x = self.proj(x)
            x = torch.cat([einops.repeat(self.token, "1 1 d -> b 1 d", b=x.shape[0]), x], 1)
            for block in self.blocks:
                x = x + block(x).relu()
            scores: Tensor = self.out(einops.reduce(x, "b n d -> b d", "mean"))
            return scores

    check_as_the_model(Patches(), torch.randn(6, 3, 8, 8), torch.randn(2, 3, 12, 12))


def test_weight_norm_is_copied_after_a_forward() -> None:
    with pytest.warns(FutureWarning, match="weight_norm"):
        normed = [torch.nn.utils.weight_norm(nn.Linear(8, 8)) for _ in range(2)]
    model = nn.Sequential(normed[0], nn.ReLU(), normed[1], nn.Linear(8, 3))
    expected = model(X)
    net = al.convert(model, X, target=TARGET, copy_model=True)
    assert net.backbone() is not model
    assert torch.equal(net.backbone()(X), expected)


def test_pruned_maps_train_in_threads_as_in_one() -> None:
    found = []
    for executor in ("sequential", "threads"):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, 3))
        prune.l1_unstructured(model[2], "weight", 0.5)
        net = al.convert(model, X, target=TARGET, at=["2"])
        batch = (X, torch.arange(len(X)) % 3)
        for _ in range(2):  # its modules keep what they computed in the last forward
            al.Trainer(epochs=1, executor=executor).fit(net, [batch], [batch])
        found.append(model[2].weight_orig.detach())
        assert bool((model[2].weight[model[2].weight_mask == 0] == 0).all())
    assert torch.equal(*found)


def test_lazy_modules_get_their_sizes() -> None:
    def made(**of: nn.Module) -> nn.Module:
        return nn.Sequential(of["map"], of["norm"], nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, 3))

    model = made(map=nn.LazyLinear(8), norm=nn.LazyBatchNorm1d())
    net = al.convert(model, X, target=TARGET, at=["3"])
    assert (model[0].in_features, model[1].num_features) == (X.shape[1], 8)
    twin = made(map=nn.Linear(X.shape[1], 8), norm=nn.BatchNorm1d(8))
    twin.load_state_dict(net.backbone().state_dict())
    check = al.convert(twin, X, target=TARGET, at=["3"])
    assert torch.equal(net.backbone_features(X), check.backbone_features(X))


def test_complex_parameters_are_trained() -> None:
    class Spectral(Maps):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(9, dtype=torch.cfloat))

        def forward(self, x: Tensor) -> Tensor:
            h = torch.fft.irfft(torch.fft.rfft(self.a(x)) * self.weight, n=16)
            scores: Tensor = self.out(self.c(self.b(h).relu()).relu())
            return scores

    model = Spectral()
    before = model.weight.detach().clone()
    net = al.convert(model, X, target=TARGET, at=["b"])
    al.Trainer(epochs=1).fit(net, al.LoaderBatches([(X, Y)]))
    assert not torch.equal(model.weight, before)


def test_parameters_as_arguments_are_counted() -> None:
    class Pool(Maps):
        def __init__(self) -> None:
            super().__init__()
            self.latent, self.norm = nn.Parameter(torch.randn(1, 16)), nn.LayerNorm(16)

        def forward(self, x: Tensor) -> Tensor:
            h = self.c(self.b(self.a(x).relu()).relu())
            scores: Tensor = self.out(h * self.norm(self.latent.expand(x.shape[0], -1)))
            return scores

    shares = [layer.share for layer in al.plan(Pool(), X, at=["b"], balance="flops").layers]
    assert shares == pytest.approx([8 / 40, 32 / 40])


def test_planning_leaves_buffers_as_they_are() -> None:
    class Counting(Maps):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            scores: Tensor = self.out(self.c(self.b(self.a(x)).relu()).relu())
            return scores

    model = Counting()
    al.plan(model, X)
    assert model.calls.item() == 0


class Mapped(Maps):
    def forward(self, x: Tensor) -> Tensor:
        h, w = self.a(x), torch.stack([self.b.weight, self.c.weight])
        scores: Tensor = self.out(torch.func.vmap(lambda v: F.linear(h, v))(w).mean(0))
        return scores


class NumPy(Maps):
    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x) * 1
        h.detach().numpy()[:, :4] = 0.5
        scores: Tensor = self.out(self.c(self.b(h).relu() + h).relu())
        return scores


class Autocast(Maps):
    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            h = self.b(self.a(x)).relu()
        scores: Tensor = self.out(self.c(h.float()).relu())
        return scores


class Unregistered(Maps):
    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(8, 16), nn.Linear(16, 16)]
        del self.a, self.b, self.c

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x).relu()
        scores: Tensor = self.out(x)
        return scores


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterList(nn.Parameter(torch.randn(8, 8)) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        for weight in self.weights:
            x = F.linear(x, weight).relu()
        return x


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Mapped, r"a transform of torch\.func \(vmap, grad\)"),
        (Unregistered, "that no module has registered .modules in a Python list"),
        (nn.ReLU, "the model holds no parameters at all"),
        (NumPy, "numpy makes a Python value of it"),
        (Autocast, "its forward turns autocast on or off"),
        (Functional, "at least two are needed. A layer begins before a module with parameters"),
    ],
)
def test_each_reason_has_a_name(model: Any, reason: str) -> None:
    with pytest.raises(al.ConversionError, match=reason):
        al.plan(model(), X)


class Graph(Maps):
    """Its rows are nodes, and edges point to others."""

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        h = self.a(x)
        h = h + torch.zeros_like(h).index_add(0, edges[1], self.b(h)[edges[0]])
        scores: Tensor = self.out(self.c(h).relu())
        return scores


def test_rows_that_are_no_samples_are_refused() -> None:
    edges = torch.stack([torch.arange(20), torch.arange(20).flip(0)])
    with pytest.raises(al.InputError, match=r"its first 4 samples.*linked=True.*samples=None"):
        al.plan(Graph(), (torch.randn(20, 8), edges))
    with pytest.raises(al.InputError, match="rows of the first axis are no samples"):
        al.plan(Graph(), (torch.randn(20, 8), edges), samples=None)
    with pytest.raises(al.InputError, match="samples=1 came; expected two or more"):
        al.plan(Maps(), X, samples=1)


def test_all_samples_are_looked_at_if_asked() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
    assert al.plan(model, X, head=None, samples=None).layers[0].shape == (6, 8)
    assert not al.plan(model, X, head=None, samples=None).notes

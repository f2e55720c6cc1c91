"""Law 5 and what else a converted model must keep, each against the untouched model."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import associated_learning as al
from associated_learning.tensors.modes import evaluating
from associated_learning.update import update_network
from conversion.modules import Biased, TimeFirst, UNet, dense, residual_cnn
from rank_processes import Place, Ranks

TARGET = al.Classes(5)


def images(size: int = 4) -> Tensor:
    return torch.randn(size, 3, 8, 8)


def texts(size: int = 4, length: int = 7) -> dict[str, Tensor]:
    mask = (torch.arange(length) < torch.randint(2, length + 1, (size, 1))).long()
    return {"ids": torch.randint(0, 30, (size, length)), "attention_mask": mask}


CASES: dict[str, tuple[Any, Any, Any, str]] = {
    "dense": (dense, lambda n: torch.randn(n, 6), 3, "6"),
    "residual": (residual_cnn, images, 3, "7"),
    "residual, cut at a function in place": (residual_cnn, images, ["1", "4"], "7"),
    "unet": (UNet, images, ["up"], "head"),
    "side inputs": (Biased, texts, ["blocks.1", "blocks.2"], "head"),
    "side inputs, after a block": (Biased, texts, {"blocks.0": "end"}, "head"),
    "time first": (TimeFirst, lambda n: torch.randn(n, 3, 6), ["second"], "head"),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, Any, Any, str]:
    make, batch, at, head = request.param
    return make(), batch, at, head


def into_head(model: nn.Module, head: str, x: Any) -> Tensor:
    """What the model itself hands to its classifier: the oracle."""
    seen: list[Tensor] = []
    hook = model.get_submodule(head).register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        model(**x) if isinstance(x, dict) else model(x)
    hook.remove()
    return seen[0]


def chained(net: al.ALNetwork, x: Any) -> Tensor:
    with torch.no_grad():
        for layer in net.layers:
            x = layer.f(x)
    return x.values


def test_the_chained_encoders_give_the_models_own_features(case: Any) -> None:
    model, batch, at, head = case
    untouched = copy.deepcopy(model).eval()
    net = al.convert(model, batch(4), target=TARGET, at=at).eval()
    for size in (4, 9, 1):
        x = batch(size)
        assert torch.equal(chained(net, x), into_head(untouched, head, x))


def test_training_mode_is_the_models_own_too(case: Any) -> None:
    """Dropout draws the same, BatchNorm's statistics move the same."""
    model, batch, at, head = case
    untouched = copy.deepcopy(model).train()
    net = al.convert(model, batch(4), target=TARGET, at=at).train()
    x = batch(6)
    torch.manual_seed(3)
    expected = into_head(untouched, head, x)
    torch.manual_seed(3)
    assert torch.equal(chained(net, x), expected)
    own = dict(net.backbone().named_buffers())
    for name, buffer in untouched.named_buffers():
        assert torch.equal(own[name], buffer), name


def test_no_loss_reaches_another_layer(case: Any) -> None:
    model, batch, at, _ = case
    net = al.convert(model, batch(4), target=TARGET, at=at)
    outputs = net.associate(batch(8), torch.arange(8) % 5)
    layers = net.al_layers()
    for i, output in enumerate(outputs):
        net.zero_grad()
        sum(output.losses.values()).backward(retain_graph=True)  # type: ignore[union-attr]
        for j, layer in enumerate(layers):
            reached = [p for p in layer.parameters() if p.grad is not None]
            assert bool(reached) is (i == j)
        assert all(p.grad is not None for p in layers[i].f.parameters())


@pytest.mark.distributed
def test_layers_run_in_processes_of_their_own(case: Any) -> None:
    """Each process gets one pickled layer and nothing else of the network."""
    model, batch, at, _ = case
    net = al.convert(model, batch(4), target=TARGET, at=at).eval()
    x = batch(3)
    s = pickle.dumps(x)
    for layer in net.layers:
        with Ranks(_forward, 1, pickle.dumps(layer.f), s) as alone:
            s = alone.result(0)
    assert torch.equal(pickle.loads(s).values, chained(net, x))


def _forward(place: Place, layer: bytes, s: bytes) -> bytes:
    f, inputs = pickle.loads(layer), pickle.loads(s)
    with torch.no_grad():
        return pickle.dumps(f(inputs))


def test_parameters_are_shared_and_keep_their_names() -> None:
    model = residual_cnn()
    net = al.convert(model, images(), target=TARGET, at=["2", "4"])
    assert net.backbone() is model
    original = dict(model.named_parameters())
    shared = {
        name.split(".f.")[1]: parameter
        for name, parameter in net.named_parameters()
        if ".f." in name
    }
    assert set(original) - set(shared) == {"7.weight", "7.bias"}
    assert all(original[name] is parameter for name, parameter in shared.items())


def test_training_the_network_trains_the_backbone_but_not_a_copy() -> None:
    for copied in (False, True):
        model = dense()
        before = copy.deepcopy(model.state_dict())
        net = al.convert(model, torch.randn(4, 6), target=TARGET, at=2, copy_model=copied)
        optimizers = [torch.optim.SGD(layer.parameters(), lr=0.1) for layer in net.layers]
        t0 = TARGET.encode(torch.arange(4))
        update_network(net.blocks(), optimizers, torch.randn(4, 6), t0, step=0)
        changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
        trained = {k for k in before if not k.startswith("6.")}  # all but the head
        assert changed == (set() if copied else trained)
        after = net.backbone().state_dict()
        assert {k for k in before if not torch.equal(after[k], before[k])} == trained


def test_frozen_parameters_stay_frozen_and_the_plan_says_so() -> None:
    model = dense()
    for parameter in model[0].parameters():
        parameter.requires_grad_(False)
    before = model[0].weight.clone()
    net = al.convert(model, torch.randn(4, 6), target=TARGET, at=2)
    assert "56 parameters are frozen" in str(net.plan)
    batches = al.LoaderBatches([(torch.randn(8, 6), torch.arange(8) % 5)])
    al.Trainer(epochs=2, lr=0.1).fit(net, batches)
    assert torch.equal(model[0].weight, before)
    assert not model[0].weight.requires_grad


def test_a_layer_that_changes_its_input_in_place_leaves_the_layer_below_its_own() -> None:
    net = al.convert(residual_cnn(), images(), target=TARGET, at=["1", "4"])
    s = net.layers[0].f(images())
    kept = s.values.detach().clone()
    net.layers[1].f(s)
    assert (kept < 0).any()
    assert torch.equal(s.values, kept)


def test_half_precision_models_are_trained_with_partners_in_float32() -> None:
    net = al.convert(dense().to(torch.bfloat16), torch.randn(4, 6).bfloat16(), target=TARGET, at=2)
    x, y = torch.randn(8, 6).bfloat16(), torch.arange(8) % 5
    al.Trainer(epochs=2, lr=0.01).fit(net, al.LoaderBatches([(x, y)]))
    assert net(x).dtype == torch.float32
    assert {p.dtype for p in net.layers[0].f.parameters()} == {torch.bfloat16}
    assert chained(net, x).dtype == torch.bfloat16


def test_models_on_the_meta_device_are_planned_and_converted_without_data() -> None:
    with torch.device("meta"):
        model = dense()
    net = al.convert(model, torch.randn(4, 6, device="meta"), target=TARGET, at=3)
    real = al.convert(dense(), torch.randn(4, 6), target=TARGET, at=3, balance="flops")
    assert net.plan.balance == "flops"
    assert [layer.modules for layer in net.plan.layers] == [
        layer.modules for layer in real.plan.layers
    ]
    assert {p.device.type for p in net.parameters()} == {"meta"}


def test_layers_move_to_devices_of_their_own() -> None:
    net = al.convert(dense(), torch.randn(4, 6), target=TARGET, at=2)
    net.layers[1].to("meta")
    assert {p.device.type for p in net.layers[0].parameters()} == {"cpu"}
    assert {p.device.type for p in net.layers[1].parameters()} == {"meta"}
    s = net.layers[0].f(torch.randn(3, 6))
    moved = al.conversion.Stream(s.values.to("meta"), s.side)  # type: ignore[attr-defined]
    assert net.layers[1].f(moved).values.device.type == "meta"


def test_layers_are_exported_one_by_one() -> None:
    net = al.convert(dense(), torch.randn(4, 6), target=TARGET, at=2).eval()
    x = torch.randn(5, 6)
    batch = torch.export.Dim("batch", min=2)
    program = torch.export.export(
        net.prefix(1), (torch.randn(4, 6),), dynamic_shapes=({0: batch},), strict=False
    )
    assert torch.allclose(program.module()(x), net(x, depth=1), atol=1e-6)


def test_weights_are_saved_and_loaded(tmp_path: Path) -> None:
    net = al.convert(dense(), torch.randn(4, 6), target=TARGET, at=2)
    al.save_weights(net, tmp_path / "w")
    other = al.convert(dense(), torch.randn(4, 6), target=TARGET, at=2)
    al.load_weights(other, tmp_path / "w")
    x = torch.randn(3, 6)
    with evaluating(net), evaluating(other):
        assert torch.equal(net(x), other(x))
        assert torch.equal(net.backbone()[0].weight, other.backbone()[0].weight)  # type: ignore[index]


def test_a_sequence_fills_ids_and_mask() -> None:
    model = Biased()
    batch = texts(4, 5)
    lengths = batch["attention_mask"].sum(1)
    sequence = al.PaddedSequence(batch["ids"], lengths)
    with pytest.raises(al.InputError, match="no argument for its mask"):
        al.plan(dense(), sequence)
    model.forward = type(model).forward.__get__(model)  # type: ignore[method-assign]
    net = al.convert(model, batch, target=TARGET, at=["blocks.1"]).eval()
    assert torch.equal(chained(net, sequence), chained(net, batch))

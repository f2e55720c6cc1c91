"""The planner of training beyond memory: arithmetic by hand, and measured needs against counts."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

import associated_learning as al
from associated_learning.models.lookahead import Lookahead
from associated_learning.pipeline.items import Minibatch
from associated_learning.pipeline.offload.measuring import LayerNeeds, measure_layers, memory_in_use
from associated_learning.pipeline.offload.memory_plan import MemoryPlan, bytes_of, make_memory_plan
from associated_learning.pipeline.offload.recomputation import Recomputation
from associated_learning.pipeline.offload.store_speed import StoreSpeed, measure_store
from associated_learning.pipeline.stage import Stage, UpdateRule
from associated_learning.pipeline.stage_builder import StageBuilder
from associated_learning.verification.memory import peak_memory
from pipeline_runs import digests, sequential, trained
from small_networks import batches_of, dense_network

DISK = StoreSpeed(write=0.02, read=0.01, processor=0.001)


# oneDNN's products take up to half a MiB inside, whatever the sizes: more than these layers have
pytestmark = pytest.mark.usefixtures("usual_products")


def layers(count: int = 4, **other: Any) -> list[LayerNeeds]:
    """Layers of 300 bytes of state, which take a second; moving one takes 9."""
    sizes = {"weights": 100, "gradients": 100, "optimizer": 200, "activations": 50, "taken": 10}
    return [LayerNeeds(seconds=1.0, **{**sizes, **other}) for _ in range(count)]


def plan_for(limit: int | None, count: int = 4, **more: Any) -> MemoryPlan:
    return make_memory_plan(layers(count), DISK, limit=limit, **more)


def test_the_window_is_the_smallest_that_hides_moving_state() -> None:
    """With K = 15, 15 s of training hide 9 s of moving, and 0.3 s of a processor are 2 %."""
    plan = plan_for(1000)
    assert plan.window == 15
    assert plan.lost == pytest.approx(0.02)
    assert plan_for(1000, window=3).lost == pytest.approx((9 - 3 + 0.3) / 3)


def test_room_is_that_of_a_layer_and_of_the_state_of_the_next() -> None:
    plan = plan_for(1000)
    assert (plan.resident, plan.overlap, plan.whole) == (450 + 300, True, False)
    assert plan.offloaded == 4 * 300
    assert plan.waiting == 15 * 10
    assert "layer 1 (weights 0.0 MiB" in str(plan)


def test_where_two_layers_do_not_fit_moving_is_not_hidden() -> None:
    plan = plan_for(600, window=10)
    assert (plan.resident, plan.overlap) == (450, False)
    assert plan.lost == pytest.approx(9 / 10)


def test_nothing_is_moved_where_all_layers_fit() -> None:
    plan = plan_for(4 * 300 + 150)
    assert (plan.whole, plan.offloaded, plan.lost, plan.window) == (True, 0, 0.0, 1)
    assert plan_for(4 * 300 + 150, stays=True).whole is False
    assert plan_for(4 * 300 + 149).whole is False


def test_activations_wait_in_files_or_the_window_shrinks() -> None:
    plan = plan_for(800, files=True)
    assert (plan.window, plan.in_files) == (15, True)
    plan = plan_for(800)
    assert (plan.window, plan.in_files) == (5, False)  # 50 bytes are left


def test_what_waits_for_a_gpu_waits_in_the_hosts_memory() -> None:
    """The limit is the card's: two minibatches are on it, one that trains and one that comes."""
    plan = plan_for(800, apart=True)
    assert (plan.window, plan.in_files, plan.overlap) == (15, False, True)
    assert plan_for(769, apart=True).overlap is False  # 300 + 450 + 2 * 10
    with pytest.raises(al.InputError, match="layer 1 alone needs"):
        plan_for(469, apart=True)


def test_traffic_is_told_and_what_a_disk_is_written() -> None:
    disk, host = str(plan_for(1000, window=2, files=True)), str(plan_for(1000, window=2))
    assert plan_for(1000, window=2).moved == 2 * 4 * 300 / 2
    assert "for a minibatch, there and back" in disk
    assert "a day" in disk
    assert "for a minibatch, there and back" in host
    assert "a day" not in host


@pytest.mark.parametrize(("limit", "base"), [(459, 0), (1000, 541)])
def test_a_layer_larger_than_the_limit_is_refused_with_numbers(limit: int, base: int) -> None:
    with pytest.raises(al.InputError, match=r"layer 1 alone needs .* smaller batch or recompute"):
        make_memory_plan(layers(), DISK, limit=limit, base=base)


@pytest.mark.parametrize("memory", ["much", "0", "-1GiB", "2 Gib/s", ""])
def test_what_is_no_size_is_refused(memory: str) -> None:
    with pytest.raises(al.InputError, match="expected a size such as"):
        bytes_of(memory)
    with pytest.raises(al.InputError, match="expected a size such as"):
        al.Trainer(epochs=1, executor="offload", memory=memory)


WIDE = torch.randn(16, 192, generator=torch.Generator().manual_seed(0))


def wide_network(options: dict[str, Any]) -> al.ALNetwork:
    """Three layers whose inputs are wider than what they hand on."""
    torch.manual_seed(0)
    encoders = [nn.Sequential(nn.Linear(a, 128), nn.Tanh()) for a in (192, 128, 128)]
    return al.al_form(encoders, WIDE, al.Classes(4), **{"latent": 16, **options})


def stage_of(net: al.Network, frozen: int = 0, **options: Any) -> Stage:
    usual: dict[str, Any] = {"optimizer": torch.optim.Adam, "rule": UpdateRule()}
    more = {"lr": 0.01, "encoder_lr": None, "options": {}, "schedule": None, "compile": False}
    return StageBuilder(**{**usual, **more, **options}).stage(net, frozen)


def size_of(tensors: Iterable[Any]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors if isinstance(t, Tensor))


@pytest.mark.parametrize(
    ("form", "training"),
    [
        *(
            (options, {})
            for options in (
                {},
                {"input_loss": 1.0},
                {"bridge": "mlp"},
                {"bridge": "block", "bridge_blocks": 2},
                {"bridge": "block", "bridge_blocks": 2, "bridge_select": "uniform"},
                {"bridge": "block", "bridge_frozen": True},
                {"coders": "etf"},
                {"association": "ce"},
                {"association": "squared", "detach_target": False},
                {"stop_gradients": [True, False, True]},
            )
        ),
        *(({}, {"optimizer": getattr(torch.optim, name)}) for name in (
            "SGD", "AdamW", "Adagrad", "Adadelta", "NAdam", "RMSprop", "Rprop", "ASGD", "Adafactor",
        )),
        ({}, {"options": {"foreach": True, "amsgrad": True}}),
        ({}, {"rule": UpdateRule(clip=1.0, precision=torch.bfloat16)}),
        ({}, {"frozen": 2}),
    ],
    ids=lambda given: "-".join(f"{k}={getattr(v, '__name__', v)}" for k, v in given.items()
                               if not isinstance(v, UpdateRule)) or "plain",
)  # fmt: skip
def test_measured_needs_are_those_that_are_counted(
    form: dict[str, Any], training: dict[str, Any]
) -> None:
    """Against bytes counted by hand, and the peak that PyTorch's profiler sees."""
    net = wide_network(form)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    item = Minibatch(0, WIDE, net.target.encode(torch.arange(16) % 4))
    needs = measure_layers(stage := stage_of(net, **training), item)
    torch.testing.assert_close(net.state_dict(), before, rtol=0, atol=0)
    for one, layer in zip(needs, stage.split([1] * len(stage.blocks)), strict=True):
        (block,), (optimizer,) = layer.blocks, layer.optimizers
        assert one.taken == size_of([item.s, item.t])
        _, onward = layer.train(item)
        peak = peak_memory(partial(layer.train, item))
        states = [] if optimizer is None else optimizer.state.values()
        learning = [p for p in block.parameters() if p.requires_grad and optimizer is not None]
        assert one.weights == size_of(block.state_dict().values())
        assert one.optimizer == sum(size_of(state.values()) for state in states)
        assert one.gradients == size_of(learning)
        assert one.room - one.state == pytest.approx(peak, rel=0.1, abs=8192)  # inside kernels
        assert one.seconds > 0
        item = onward._replace(step=0)


def test_a_measurement_cannot_diverge() -> None:
    """It takes some updates on one minibatch, at a rate that may be meant for other things."""
    net, (x, y) = dense_network(2), batches_of(1)[0]
    item = Minibatch(0, x * 1e6, net.target.encode(y))
    stage = stage_of(net, optimizer=torch.optim.SGD, lr=1e30)
    assert len(measure_layers(stage, item)) == 2


def test_layers_that_differ_in_what_learns_are_measured_each() -> None:
    """Of three layers alike, the lowest has an encoder that is frozen."""
    x, y = batches_of(1)[0]
    torch.manual_seed(0)
    net = al.al_form([nn.Linear(6, 6) for _ in range(3)], x, al.Classes(5), latent=5)
    trainer = al.Trainer(epochs=1, executor="offload", freeze=1)
    needs = trainer.memory_plan(net, al.LoaderBatches([(x, y)])).layers
    for one, layer in zip(needs, net.al_layers(), strict=True):
        parts = [layer.b, layer.g, layer.h] if layer is net.al_layers()[0] else [layer]
        assert one.gradients == size_of(p for part in parts for p in part.parameters())


def test_layers_that_are_moved_as_one_are_planned_as_one() -> None:
    net, batches = dense_network(3), al.LoaderBatches(batches_of(1))
    alone, joint = (
        al.Trainer(epochs=1, executor="offload", stages=stages).memory_plan(net, batches)
        for stages in (None, [1, 2])
    )
    first, *upper = alone.layers
    assert joint.layers[0].room == first.room
    assert joint.layers[1].state == sum(one.state for one in upper)
    assert joint.resident >= sum(one.state for one in alone.layers)
    assert "3 layers" in str(joint)
    assert "layers 2 to 3 (weights" in str(joint)


@pytest.mark.parametrize("option", [{"overlap": True}, {"bridge": "block", "bridge_momentum": 0.9}])
def test_layers_that_follow_others_are_planned_with_them_or_refused(option: dict[str, Any]) -> None:
    net = wide_network(option)
    batches = al.LoaderBatches([(WIDE, torch.arange(16) % 4)])
    with pytest.raises(al.InputError, match="of layer 1 follows layer 2"):
        al.Trainer(epochs=1, executor="offload", memory="8GiB").memory_plan(net, batches)
    plan = al.Trainer(epochs=1, executor="offload", stages=1).memory_plan(net, batches)
    assert plan.layers[0].weights == size_of(net.state_dict().values())


def test_an_optimizer_that_cannot_be_made_again_is_refused() -> None:
    class Named(torch.optim.SGD):
        def __init__(self, params: Any, lr: float, *, name: str) -> None:
            super().__init__(params, lr)

    trainer = al.Trainer(
        epochs=1, executor="offload", optimizer=Named, optimizer_options={"name": "mine"}
    )
    with pytest.raises(al.InputError, match="Named came, of which no second one can be made"):
        trainer.memory_plan(dense_network(2), al.LoaderBatches(batches_of(1)))


def test_what_is_there_of_a_run_that_goes_on_is_not_counted_twice() -> None:
    """Its optimizers have their state already, which is part of what is planned."""
    net = al.al_form([nn.Linear(6, 2**20)], batches_of(1)[0][0], al.Classes(4), latent=2)
    stage = stage_of(net)
    x, y = batches_of(1)[0]
    fresh = memory_in_use(stage)
    stage.train(Minibatch(0, x, net.target.encode(y)))
    # moments of 72 MiB are its own; gradients of 36 are freed, which malloc may keep
    assert memory_in_use(stage) < fresh + 48 * 2**20


def test_the_speed_of_a_disk_is_measured_and_nothing_stays(tmp_path: Path) -> None:
    speed = measure_store(tmp_path, torch.device("cpu"))
    assert 0 < speed.read < speed.write + speed.read < 1e-6  # more than a MB a second
    assert list(tmp_path.iterdir()) == []
    assert measure_store(None, torch.device("cpu")) == StoreSpeed(0, 0, 0)


@pytest.mark.parametrize("memory", ["64GiB", None])
def test_a_planned_run_ends_with_the_sequential_bits(memory: str | None, tmp_path: Path) -> None:
    trained("offload", tmp_path / "many", epochs=1, memory=memory, store=tmp_path / "store")
    assert digests(tmp_path / "many") == sequential(epochs=1)[0]
    written = list((tmp_path / "store").glob("*.safetensors"))
    assert bool(written) == (memory is None)  # what fits stays in memory


def test_a_network_that_does_not_fit_is_refused_before_it_trains(tmp_path: Path) -> None:
    with pytest.raises(al.InputError, match=r"memory=1\.0 MiB came.*expected at least"):
        trained("offload", None, memory="1MiB", store=tmp_path)


# Recomputation.


class Counted(nn.Linear):
    """Counts its forwards."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x)


def deep_layers() -> al.ALNetwork:
    """Two layers of several modules with dropout, and one with BatchNorm."""
    torch.manual_seed(0)
    encoders = [
        nn.Sequential(
            Counted(6, 6), nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.5), Counted(6, 6))
        ),
        nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Tanh()),
    ]
    return al.al_form(encoders, torch.randn(4, 6), al.Classes(4), latent=5)


def test_recomputation_is_exact_and_leaves_statistics_alone(tmp_path: Path) -> None:
    one, _ = trained("sequential", tmp_path / "one", net=deep_layers(), epochs=1)
    net = deep_layers()
    trained("offload", tmp_path / "many", net=net, epochs=1, recompute=True)
    assert digests(tmp_path / "many") == digests(tmp_path / "one")
    # 20 updates and 2 batches of validation; each update ran it once more
    calls = [network.al_layers()[0].f[0].calls for network in (one, net)]
    assert calls[1] - calls[0] == 20


def test_recomputation_keeps_less() -> None:
    f = nn.Sequential(*[nn.TransformerEncoderLayer(8, 2, 64, batch_first=True) for _ in range(4)])
    x = torch.randn(2, 5, 8)
    net = al.al_form([f], x, al.Classes(4), latent=5, readout=nn.Flatten())
    job = Minibatch(0, x, net.target.encode(torch.tensor([0, 1])))
    (kept,) = measure_layers(stage_of(net), job)
    with Recomputation(net.blocks()):
        (again,) = measure_layers(stage_of(net), job)
    assert again.activations < kept.activations / 2
    assert "forward" not in f[0].__dict__


def converted_to(model_type: str, at: list[str]) -> tuple[al.ConvertedNetwork, dict[str, Tensor]]:
    """Return a small transformer cut before the blocks named, and a batch for it."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        model_type, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, vocab_size=50,
        intermediate_size=64, n_inner=64,
    )  # fmt: skip
    x = {"input_ids": torch.randint(1, 50, (2, 40)), "attention_mask": torch.ones(2, 40).long()}
    return al.convert(AutoModel.from_config(config), x, target=al.Classes(4), at=at), x


@pytest.mark.parametrize(
    ("model_type", "at"),
    [
        ("bert", ["encoder.layer.2"]),  # embeddings and two blocks, and one block
        ("bert", ["encoder.layer.1", "encoder.layer.2"]),
        ("gpt2", ["h.2"]),  # with norms beside what can be opened
    ],
)
def test_a_converted_layer_recomputes_modules_that_it_calls_and_keeps_less(
    model_type: str, at: list[str]
) -> None:
    net, x = converted_to(model_type, at)
    job = Minibatch(0, x, net.target.encode(torch.tensor([0, 1])))
    whole = measure_layers(stage_of(net), job)
    recomputation = Recomputation(net.blocks())
    with recomputation:
        again = measure_layers(stage_of(net), job)
    called: set[nn.Module] = set()
    for module in recomputation.modules:
        module.register_forward_hook(lambda module, *_: called.add(module))
    net(x)
    assert called == set(recomputation.modules)
    for one, other in zip(again, whole, strict=True):
        assert one.activations < 0.8 * other.activations


def test_what_computes_between_its_parts_is_recomputed_as_one() -> None:
    f = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 64, batch_first=True))
    net = al.al_form([f], torch.randn(2, 5, 8), al.Classes(4), latent=5, readout=nn.Flatten())
    assert Recomputation(net.blocks()).modules == [f[0]]  # its forward makes a ReLU of linear1


def test_the_copies_of_a_lookahead_bridge_recompute_to_the_same_bits() -> None:
    def updated(*, recompute: bool) -> tuple[dict[str, Tensor], list[nn.Module], list[nn.Module]]:
        torch.manual_seed(0)
        f = [nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.5), nn.Linear(6, 6)) for _ in range(2)]
        net = al.al_form(f, x, al.Classes(4), bridge="block", latent=5)
        recomputation = Recomputation(net.blocks() if recompute else [])
        with recomputation:
            optimizers = [torch.optim.SGD(block.parameters(), lr=0.1) for block in net.blocks()]
            al.update_network(net.blocks(), optimizers, x, t0, step=0)
        (bridge,) = [module for module in net.modules() if isinstance(module, Lookahead)]
        parts = [part for part in bridge.modules() if isinstance(part, nn.Linear)]
        return net.state_dict(), recomputation.modules, parts

    x, t0 = torch.randn(4, 6), al.Classes(4).encode(torch.arange(4))
    kept, _, _ = updated(recompute=False)
    again, modules, parts = updated(recompute=True)
    assert len(parts) == 2
    assert set(parts) < set(modules)
    assert all(torch.equal(kept[name], again[name]) for name in kept)

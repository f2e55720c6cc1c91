"""Law 1 (isolation) and law 2 (the oracle)."""

from __future__ import annotations

import functools
from collections import OrderedDict, UserDict
from dataclasses import dataclass

import pytest
import torch

import associated_learning as al
from associated_learning.state.optimizers import make_optimizers
from associated_learning.tensors.nested import tensors_in
from reference import NAMES, ReferenceAL
from small_networks import batches_of, dense_network, noisy_network


def gradients_by_layer(net: al.ALNetwork, loss: torch.Tensor) -> list[int]:
    """Return the numbers of the layers that a loss gives any gradient to."""
    net.zero_grad(set_to_none=True)
    loss.backward(retain_graph=True)
    return [
        i
        for i, layer in enumerate(net.al_layers(), start=1)
        if any(p.grad is not None for p in layer.parameters())
    ]


@pytest.mark.parametrize("detach_target", [True, False])
def test_each_loss_gives_gradient_to_its_own_layer_only(detach_target: bool) -> None:
    net = dense_network(4, detach_target=detach_target)
    ((x, y),) = batches_of(1)
    outputs = net.associate(x, y)
    for i, output in enumerate(outputs, start=1):
        for name, loss in output.losses.items():
            assert gradients_by_layer(net, loss) == [i], name


def test_input_gets_no_gradient() -> None:
    net = dense_network(1)
    ((x, y),) = batches_of(1)
    x.requires_grad_()
    sum(net.associate(x, y)[0].losses.values()).backward()
    assert x.grad is None


def test_without_stops_a_loss_trains_the_layers_below() -> None:
    net = dense_network(3, stop_gradients=[True, False, False])
    ((x, y),) = batches_of(1)
    outputs = net.associate(x, y)
    assert gradients_by_layer(net, outputs[2].losses["associated"]) == [1, 2, 3]
    assert len(net.blocks()) == 1


@pytest.mark.parametrize(
    ("detach_target", "trained"), [(True, {"f", "b"}), (False, {"f", "b", "g"})]
)
def test_associated_loss_trains_what_algorithm_2_line_11_names(
    detach_target: bool, trained: set[str]
) -> None:
    net = dense_network(1, detach_target=detach_target)
    ((x, y),) = batches_of(1)
    net.associate(x, y)[0].losses["associated"].backward()
    layer = net.al_layers()[0]
    found = {
        name for name in NAMES if any(p.grad is not None for p in getattr(layer, name).parameters())
    }
    assert found == trained


def test_autoencoder_loss_trains_what_algorithm_2_line_12_names() -> None:
    net = dense_network(1)
    ((x, y),) = batches_of(1)
    net.associate(x, y)[0].losses["autoencoder"].backward()
    layer = net.al_layers()[0]
    found = {
        name for name in NAMES if any(p.grad is not None for p in getattr(layer, name).parameters())
    }
    assert found == {"g", "h"}


@pytest.mark.parametrize("detach_target", [True, False])
@pytest.mark.parametrize("kind", ["ce", "mse"])
def test_training_equals_the_papers_algorithm_step_by_step(detach_target: bool, kind: str) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        # with "mse" Regression on one-hot targets: Equation 3 to the letter, h_1 without activation
        target = al.Classes(4) if kind == "ce" else al.Regression(4)
        net = dense_network(3, target=target, detach_target=detach_target, association=None)
        weights = [
            {
                name: tuple(p.detach().clone() for p in getattr(layer, name).parameters())
                for name in NAMES
            }
            for layer in net.al_layers()
        ]
        oracle = ReferenceAL(weights, 0.01, detach_target, kind == "ce")
        optimizers = make_optimizers(net.blocks(), torch.optim.Adam, lr=0.01)
        for step, (x, y) in enumerate(batches_of(20)):
            x, t0 = x.double(), torch.nn.functional.one_hot(y, 4).double()
            ours = al.update_network(net.blocks(), optimizers, x, t0, step=step)
            theirs = oracle.train_step(x, t0)
            torch.testing.assert_close(
                [(float(o["associated"]), float(o["autoencoder"])) for o in ours], theirs
            )
        for layer, expected in zip(net.al_layers(), oracle.layers, strict=True):
            for name in NAMES:
                ours_found = tuple(p.detach() for p in getattr(layer, name).parameters())
                torch.testing.assert_close(ours_found, tuple(p.detach() for p in expected[name]))
        for depth in (1, 2, 3):
            torch.testing.assert_close(net(x, depth), oracle.infer(x, depth))
    finally:
        torch.set_default_dtype(torch.float32)


def test_update_network_equals_joint_backward_of_the_summed_losses() -> None:
    """Isolation makes layer-by-layer training equal to one backward over the sum."""
    one, two = dense_network(3), dense_network(3)
    two.load_state_dict(one.state_dict())
    one_optimizers = make_optimizers(one.blocks(), torch.optim.SGD, lr=0.1)
    two_optimizer = torch.optim.SGD(two.parameters(), lr=0.1)
    for step, (x, y) in enumerate(batches_of(5)):
        al.update_network(one.blocks(), one_optimizers, x, one.target.encode(y), step=step)
        two_optimizer.zero_grad()
        sum(sum(out.losses.values()) for out in two.associate(x, y)).backward()
        two_optimizer.step()
    torch.testing.assert_close(one.state_dict(), two.state_dict())


def test_randomness_is_keyed_by_seed_layer_and_step() -> None:
    """Dropout depends on the key alone, not on what was drawn before."""
    net = noisy_network(2)
    ((x, y),) = batches_of(1)
    t0, layer = net.target.encode(y), net.al_layers()[0]
    still = torch.optim.SGD(layer.parameters(), lr=0.0)

    def s_of(seed: int, number: int, step: int) -> torch.Tensor:
        rule = al.UpdateRule(seed=seed)
        s: torch.Tensor = al.update_layer(
            layer, still, x, t0, number=number, step=step, rule=rule
        ).s
        return s

    first = s_of(0, 1, 0)
    torch.rand(100)
    assert torch.equal(s_of(0, 1, 0), first)
    for other in ((1, 1, 0), (0, 2, 0), (0, 1, 1)):
        assert not torch.equal(s_of(*other), first)


def test_keyed_updates_leave_the_global_generator_alone() -> None:
    net = noisy_network(1)
    ((x, y),) = batches_of(1)
    before = torch.random.get_rng_state()
    still = torch.optim.SGD(net.layers[0].parameters(), lr=0.0)
    al.update_layer(net.al_layers()[0], still, x, net.target.encode(y), number=1, step=0)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_clipping_bounds_each_layers_own_gradient() -> None:
    net = dense_network(2)
    ((x, y),) = batches_of(1)
    optimizers = [torch.optim.SGD(block.parameters(), lr=1.0) for block in net.blocks()]
    before = [[p.detach().clone() for p in layer.parameters()] for layer in net.al_layers()]
    t0, rule = net.target.encode(y), al.UpdateRule(clip=0.01)
    al.update_network(net.blocks(), optimizers, 100 * x, t0, step=0, rule=rule)
    for layer, old in zip(net.al_layers(), before, strict=True):
        moved = torch.cat(
            [(p.detach() - o).flatten() for p, o in zip(layer.parameters(), old, strict=True)]
        )
        assert float(moved.norm()) == pytest.approx(0.01, rel=1e-3)


def test_frozen_layer_is_left_alone_and_feeds_the_next() -> None:
    net = dense_network(2)
    ((x, y),) = batches_of(1)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    optimizers = make_optimizers(net.blocks(), lr=0.1)
    optimizers[0] = None
    al.update_network(net.blocks(), optimizers, x, net.target.encode(y), step=0)
    changed = {
        key for key, value in net.state_dict().items() if not torch.equal(value, before[key])
    }
    assert changed
    assert all(key.startswith("layers.1.") for key in changed)


def test_frozen_layer_keeps_its_statistics_and_drops_nothing() -> None:
    net = noisy_network(1)
    ((x, y),) = batches_of(1)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    output = al.update_layer(net.layers[0], None, x, net.target.encode(y), number=1, step=0)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    net.eval()
    assert torch.equal(output.s, net.layers[0].f(x))


@dataclass
class Pair:
    one: torch.Tensor
    two: torch.Tensor


class OnPairs(torch.nn.Module):
    def __init__(self, container: type) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(6, 6)
        self.container = container

    def forward(self, s: object) -> object:
        x = s if isinstance(s, torch.Tensor) else tensors_in(s)[0]
        y = self.linear(x)
        if self.container is Pair:
            return Pair(y, 2 * y)
        return self.container({"one": y, "two": 2 * y})


@pytest.mark.parametrize("container", [Pair, dict, OrderedDict, UserDict])
def test_isolation_holds_whatever_container_carries_the_activation(container: type) -> None:
    class First(torch.nn.Module):
        def forward(self, s: object) -> torch.Tensor:
            return tensors_in(s)[0]

    ((x, y),) = batches_of(1)
    encoders = [OnPairs(container), OnPairs(container)]
    net = al.al_form(encoders, x, al.Classes(4), readout=First())
    outputs = net.associate(x, y)
    assert type(outputs[0].s) is container
    assert gradients_by_layer(net, outputs[1].losses["associated"]) == [2]


def test_an_activation_that_cannot_be_cut_is_refused() -> None:
    class Holder:
        def __init__(self, value: torch.Tensor) -> None:
            self.value = value

    with pytest.raises(al.InputError, match="an activation of type Holder came"):
        tensors_in(Holder(torch.zeros(1)))


def test_a_gradient_that_is_not_finite_spares_the_weights() -> None:
    """The loss is finite, its gradient is not: the derivative of a root at zero."""
    net = dense_network(1)
    ((x, y),) = batches_of(1)

    class Root(torch.nn.Module):
        def forward(self, s: torch.Tensor) -> torch.Tensor:
            return s + (s - s.detach()).square().sum(1, keepdim=True).sqrt()

    net.layers[0].f.append(Root())
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(al.NonFiniteLossError, match="the gradient of layer 1 is not finite"):
        al.update_network(
            net.blocks(), make_optimizers(net.blocks()), x, net.target.encode(y),
            step=0, rule=al.UpdateRule(clip=1.0),
        )  # fmt: skip
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_nan_names_layer_and_batch_and_spares_the_weights() -> None:
    net = dense_network(3)
    ((x, y),) = batches_of(1)
    with torch.no_grad():
        net.al_layers()[1].b.weight[0, 0] = float("nan")
    before = {key: value.clone() for key, value in net.layers[1].state_dict().items()}
    with pytest.raises(
        al.NonFiniteLossError, match=r"layer 2 is not finite at batch 7 .* were not"
    ):
        al.update_network(
            net.blocks(), make_optimizers(net.blocks()), x, net.target.encode(y), step=7
        )
    for key, value in net.layers[1].state_dict().items():
        assert torch.equal(value.nan_to_num(9.0), before[key].nan_to_num(9.0))


def test_bf16_autocast_stays_near_float32() -> None:
    ((x, y),) = batches_of(1, size=64)
    losses = []
    for precision in (None, torch.bfloat16):
        torch.manual_seed(0)
        net = dense_network(2)
        found = al.update_network(
            net.blocks(),
            make_optimizers(net.blocks()),
            x,
            net.target.encode(y),
            step=0,
            rule=al.UpdateRule(precision=precision),
        )
        losses.append([float(value) for terms in found for value in terms.values()])
    # bf16 keeps 8 bits of mantissa: relative steps of 2^-8, a few of them add up
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    assert losses[0] != losses[1]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.long)])
def test_compiled_layers_train_like_eager_ones(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = functools.partial(torch.compile, backend=backend)
    monkeypatch.setattr(torch, "compile", compiler)

    def losses(compile: bool) -> list[float]:
        torch.manual_seed(0)
        net = dense_network(2)
        trainer = al.Trainer(epochs=2, lr=0.01, compile=compile)
        state = trainer.fit(net, al.LoaderBatches(batches_of(4)))
        return [v for r in state.records for terms in r.losses for v in terms.values()]

    assert losses(True) == pytest.approx(losses(False), rel=1e-4)


@pytest.mark.gpu
def test_training_on_cuda_stays_near_the_cpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    states = []
    for device in ("cpu", "cuda"):
        torch.manual_seed(0)
        net = dense_network(3).to(device)
        al.Trainer(epochs=2).fit(net, al.LoaderBatches(batches_of(5)))
        states.append({key: value.cpu() for key, value in net.state_dict().items()})
    torch.testing.assert_close(*states, rtol=1e-3, atol=1e-4)

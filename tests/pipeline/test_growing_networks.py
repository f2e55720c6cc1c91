"""Networks that grow as they train: the laws of growth (7) and of resuming (6), and bad input."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import associated_learning as al
from associated_learning.state.files import read_json
from associated_learning.state.training_state import EpochRecord, TrainingState
from associated_learning.tensors.randomness.keyed import seeded
from associated_learning.training.callbacks import Callback
from faults import KillAt, KilledError
from growing import after, first_layer, fit, layer
from pipeline_runs import digests
from small_networks import batches_of, dense_network

BATCHES = 12  # of an epoch
TWICE = {"make": layer, "max_layers": 3, "when": after(2, 4)}
FREEZING = {**TWICE, "layer_patience": 1, "settle": 0.9}


class Bits(Callback):
    """Keeps digests of layer 1 and its optimizer as the checkpoint of every epoch holds them."""

    def __init__(self, folder: Path) -> None:
        self.checkpoints = al.Checkpoints(folder)
        self.epochs: list[tuple[int, str, str, str]] = []

    def epoch_done(self, state: TrainingState, record: EpochRecord) -> None:
        last = self.checkpoints.path("last")
        tensors = [
            hashlib.sha256((last / f"{name}.safetensors").read_bytes()).hexdigest()
            for name in ("layer-1", "optimizer-1")
        ]
        scalars = read_json(last / "state.json")
        others = json.dumps([scalars["optimizers"][0], scalars["schedulers"][0]])
        self.epochs.append((state.step, *tensors, others))


STEP_LR = {"schedule": lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.9)}


@pytest.mark.parametrize("executor", ["sequential", "threads"])
def test_below_a_new_layer_training_goes_on_as_if_it_were_not_there(
    executor: str, tmp_path: Path
) -> None:
    """Weights, statistics, optimizer and schedule, at every epoch."""
    trajectories = []
    for name, growth in (("alone", None), ("grown", al.Growth(**TWICE))):
        bits = Bits(tmp_path / name)
        options = {**STEP_LR, "executor": executor if growth else "sequential"}
        fit(growth, tmp_path / name, callbacks=[bits], **options)
        trajectories.append(bits.epochs)
    alone, grown = trajectories
    assert len(alone) == 6
    assert len({tensors for _, tensors, *_ in alone}) == 6
    assert grown == alone


def by_hand(frozen_from: dict[int, int]) -> al.ALNetwork:
    """Grow by `append` and train by `update_network`: what the trainer must equal."""
    net = first_layer()
    optimizers: list[Any] = [torch.optim.Adam(net.layers[0].parameters(), lr=0.01, fused=True)]
    for epoch in range(6):
        if epoch in (2, 4):
            with seeded(5, "layer", net.num_layers + 1):
                new = layer(net.num_layers + 1)
            net.append(new)
            optimizers.append(torch.optim.Adam(new.parameters(), lr=0.01, fused=True))
        for i in range(frozen_from.get(epoch, 0)):
            optimizers[i] = None
        for number, (x, y) in enumerate(batches_of(BATCHES), start=epoch * BATCHES):
            t = net.target.encode(y)
            rule = al.UpdateRule(seed=5, clip=1.0)
            al.update_network(net.blocks(), optimizers, x, t, step=number, rule=rule)
    return net


@pytest.mark.parametrize("freezes", [False, True])
def test_the_trainer_grows_as_one_does_by_hand(freezes: bool, tmp_path: Path) -> None:
    growth = al.Growth(**{**TWICE, "freeze_below": freezes})
    fit(growth, tmp_path)
    expected = by_hand({2: 1, 4: 2} if freezes else {})
    found = al.ALNetwork([*first_layer().layers, layer(2), layer(3)], al.Classes(4))
    al.load_weights(found, al.Checkpoints(tmp_path).path("last"))
    for key, value in expected.state_dict().items():
        assert torch.equal(found.state_dict()[key], value), key


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], al.Network, Any]:
    """A run that grows and that nothing killed: its digests, its network and its state."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole")
    whole, state = fit(al.Growth(**FREEZING), folder, save_every=5)
    assert (state.depth, state.frozen) == (3, 2)
    return digests(folder), whole, state


@pytest.mark.parametrize(
    ("step", "event", "saved"),
    [
        (17, "batch", 15),
        (24, "epoch", 24),  # saved, but not grown yet
        (24, "grown", 24),  # grown, but not saved since
        (25, "batch", 24),
        (31, "batch", 30),  # two layers are saved
        (48, "grown", 48),
        (60, "batch", 55),
    ],
)
def test_killed_anywhere_a_run_that_grows_ends_with_the_same_bits(
    step: int, event: str, saved: int, undisturbed: Any, tmp_path: Path
) -> None:
    expected, whole, state = undisturbed
    with pytest.raises(KilledError):
        fit(al.Growth(**FREEZING), tmp_path / "cut", save_every=5, callbacks=[KillAt(step, event)])
    assert al.Checkpoints(tmp_path / "cut").path("last").name.startswith(f"last-{saved:09d}")
    resumed, again = fit(
        al.Growth(**FREEZING), tmp_path / "cut", save_every=5, executor="threads", stages=2
    )
    assert digests(tmp_path / "cut") == expected
    assert (again.best_epoch, again.best_depth) == (state.best_epoch, state.best_depth)
    assert resumed.num_layers == whole.num_layers == state.best_depth
    for key, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key


class Watched(nn.Module):
    """Keeps how it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[bool, bool]] = []

    def forward(self, x: Tensor) -> Tensor:
        y = x * torch.ones((), requires_grad=True)
        self.calls.append((self.training, y.requires_grad))
        return y


def test_a_frozen_layer_keeps_its_bits_and_builds_no_graph(tmp_path: Path) -> None:
    net = first_layer()
    watched = Watched()
    net.layers[0].f.append(watched)
    heard: list[tuple[int, dict[str, Tensor]]] = []

    class Keep(Callback):
        def epoch_done(self, state: TrainingState, record: EpochRecord) -> None:
            heard.append((len(watched.calls), copy.deepcopy(net.layers[0].state_dict())))

    growth = al.Growth(**{**TWICE, "freeze_below": True})
    _, state = fit(growth, tmp_path, net=net, callbacks=[Keep()])
    (_, first), (calls, before), *_, (end, now) = heard
    assert not torch.equal(first["f.0.weight"], before["f.0.weight"])
    assert all(torch.equal(value, now[key]) for key, value in before.items())
    trained, still = watched.calls[:calls], watched.calls[calls:end]
    assert trained.count((True, True)) == 2 * BATCHES
    assert len(still) >= 4 * BATCHES
    assert set(still) == {(False, False)}  # evaluation mode, no graph
    assert [record.lr for record in state.records] == (
        [[0.01]] * 2 + [[0.0, 0.01]] * 2 + [[0.0, 0.0, 0.01]] * 2
    )
    saved = read_json(al.Checkpoints(tmp_path).path("last") / "state.json")
    assert saved["optimizers"][:2] == [None, None]


def xor(count: int) -> list[tuple[Tensor, Tensor]]:
    """A task that no linear layer solves."""
    draw = torch.Generator().manual_seed(2)
    xs = [torch.randn(32, 2, generator=draw) for _ in range(count)]
    return [(x, (x.prod(dim=1) > 0).long()) for x in xs]


def linear_first() -> al.ALNetwork:
    torch.manual_seed(0)
    return al.al_form([nn.Linear(2, 2)], torch.randn(4, 2), al.Classes(2), latent=8)


def nonlinear(number: int) -> al.ALLayer:
    f = nn.Sequential(nn.Linear(2 if number == 2 else 32, 32), nn.ReLU())
    return al.ALLayer(f=f, b=nn.Linear(32, 8), g=nn.Linear(8, 8), h=nn.Linear(8, 8))


def solved(folder: Path | None = None, **options: Any) -> tuple[al.ALNetwork, Any]:
    net = linear_first()
    growth = al.Growth(make=nonlinear, **{"max_layers": 5, "patience": 2, **options})
    checkpoints = None if folder is None else al.Checkpoints(folder)
    train, validation = al.LoaderBatches(xor(20)), al.LoaderBatches(xor(8)[4:])
    # its encoder as it is, for it would learn to give nothing
    trainer = al.Trainer(epochs=60, lr=0.01, growth=growth, freeze=1)
    return net, trainer.fit(net, train, validation, checkpoints=checkpoints)


@pytest.mark.parametrize("saves", [False, True])
def test_growth_stops_at_the_layer_that_adds_too_little(saves: bool, tmp_path: Path) -> None:
    net, state = solved(tmp_path if saves else None, min_gain=0.1)
    best = [max(r.scores[d] for r in state.records if len(r.scores) > d) for d in range(3)]
    assert best[0] < 0.7
    assert best[1] > 0.9
    assert best[2] - best[1] < 0.1
    assert (state.stopped, state.depth, state.best_depth, net.num_layers) == (True, 3, 2, 2)
    assert state.epoch < 60
    found = al.evaluate(net, xor(8)[4:]).scores
    assert found == tuple(state.records[state.best_epoch - 1].scores[:2])
    assert found[1] == state.best_score == best[1]
    if saves:
        kept = al.Checkpoints(tmp_path).path("best").glob("*.safetensors")
        assert {path.stem for path in kept} == {"layer-1", "layer-2"}


def test_where_no_layer_is_worth_it_the_first_is_kept() -> None:
    net, state = solved(min_gain=1.0)
    assert (state.stopped, state.depth, state.best_depth, net.num_layers) == (True, 2, 1, 1)
    assert al.evaluate(net, xor(8)[4:]).scores == (state.best_score,)


def test_growth_ends_at_the_largest_depth_too() -> None:
    growth = al.Growth(make=layer, max_layers=1, patience=1)
    _, state = fit(growth, epochs=50)
    assert state.stopped
    assert state.epoch == state.best_epoch + 1


def test_a_run_that_ended_goes_on_where_more_layers_may_come(tmp_path: Path) -> None:
    _, state = solved(tmp_path, max_layers=2)
    assert (state.stopped, state.depth) == (True, 2)
    _, more = solved(tmp_path, max_layers=3)
    assert more.records[: state.epoch] == state.records
    assert more.depth == len(more.records[state.epoch].losses) == 3


def test_a_new_layers_schedule_starts_when_it_is_put_on_top() -> None:
    _, state = fit(al.Growth(**TWICE), schedule=[STEP_LR["schedule"], None, STEP_LR["schedule"]])
    expected = [[1.0], [0.9], [0.81, 1], [0.729, 1], [0.6561, 1, 1.0], [0.59049, 1, 0.9]]
    assert [record.lr for record in state.records] == [
        pytest.approx([0.01 * factor for factor in factors]) for factors in expected
    ]


def test_settings_may_be_given_for_each_layer_to_come() -> None:
    _, state = fit(al.Growth(**TWICE), lr=[0.1, 0.2, 0.3])
    assert [record.lr for record in state.records][::2] == [[0.1], [0.1, 0.2], [0.1, 0.2, 0.3]]


def test_callbacks_hear_of_growth() -> None:
    heard = []

    class Hear(Callback):
        def grown(self, state: TrainingState) -> None:
            heard.append((state.step, state.depth, state.frozen))

    fit(al.Growth(**{**TWICE, "freeze_below": True}), callbacks=[Hear()])
    assert heard == [(24, 2, 1), (48, 3, 2)]


def test_without_validation_a_rule_of_ones_own_grows_and_all_is_kept() -> None:
    net = first_layer()
    trainer = al.Trainer(epochs=5, growth=al.Growth(**TWICE))
    state = trainer.fit(net, al.LoaderBatches(batches_of(3)))
    assert (net.num_layers, state.best_epoch) == (3, 0)


def narrow(number: int) -> al.ALLayer:
    """Fits at layer 2, and not at layer 3."""
    f = nn.Linear(8, 7 if number == 2 else 8)
    return al.ALLayer(f=f, b=nn.Linear(7, 5), g=nn.Linear(5, 5), h=nn.Linear(5, 5))


def joint(number: int) -> al.ALLayer:
    new = layer(number)
    new.stop_gradients = False
    return new


BAD: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "does not fit": (
        {"make": narrow},
        {},
        r"layer 3 cannot be put on top: the appended layer cannot take what layer 2 gives, s of "
        r"shape \[\[8, 7\]\]",
    ),
    "no layer": ({"make": lambda number: nn.Linear(8, 8)}, {}, r"make\(2\) gave Linear; expected"),
    "joint": ({"make": joint}, {}, r"make\(2\) gave a layer without gradient stop"),
    "fewer layers": (
        {"max_layers": 2},
        {"net": dense_network(3)},
        "max_layers=2 came for a network of 3 layers; expected at least 3",
    ),
    "joint below": (
        {},
        {"net": dense_network(2, stop_gradients=[True, False])},
        "expected an ALNetwork whose layers have gradient stop",
    ),
    "plateau": (
        {},
        {"schedule": torch.optim.lr_scheduler.ReduceLROnPlateau},
        "ReduceLROnPlateau came for a network that grows",
    ),
    "patience": ({}, {"patience": 3}, "patience=3 came with growth; Growth has a patience"),
    "stages": ({}, {"stages": (1, 1)}, r"stages=\(1, 1\) came with growth; layers are divided"),
    "replicas": ({}, {"replicas": 2}, "replicas=2 came with growth"),
    "rates": (
        {},
        {"lr": [0.1, 0.2]},
        "2 learning rates came for 3 layers that the network may grow to",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_grow_is_refused_before_training(name: str) -> None:
    rules, options, message = BAD[name]
    started: list[int] = []

    class Hear(Callback):
        def batch_done(self, state: TrainingState, losses: list[dict[str, float]]) -> None:
            started.append(state.step)

    with pytest.raises(al.InputError, match=message):
        fit(al.Growth(**{**TWICE, **rules}), callbacks=[Hear()], **options)
    assert started == []


def test_a_policy_that_needs_validation_is_refused_without() -> None:
    trainer = al.Trainer(epochs=5, growth=al.Growth(make=layer, max_layers=3))
    with pytest.raises(al.InputError, match="growth came without validation data; expected some"):
        trainer.fit(first_layer(), al.LoaderBatches(batches_of(3)))


def test_a_backpropagated_network_does_not_grow() -> None:
    net = al.BPNetwork(nn.Linear(6, 4), al.Classes(4))
    trainer = al.Trainer(epochs=5, growth=al.Growth(**TWICE))
    with pytest.raises(al.InputError, match="growth came for BPNetwork; expected an ALNetwork"):
        trainer.fit(net, al.LoaderBatches(batches_of(3)))


@pytest.mark.parametrize(
    ("growth", "expected"), [(None, "1 to 1"), (al.Growth(make=layer, max_layers=2), "1 to 2")]
)
def test_a_grown_run_is_not_resumed_by_less(
    growth: al.Growth | None, expected: str, tmp_path: Path
) -> None:
    fit(al.Growth(**TWICE), tmp_path)
    with pytest.raises(al.CheckpointError, match=f"holds 3 layers; expected {expected}"):
        fit(growth, tmp_path)


def test_a_network_is_cut_to_a_depth() -> None:
    net = dense_network(3)
    x = batches_of(1)[0][0]
    expected = net(x, depth=2)
    net.truncate(2)
    assert net.num_layers == 2
    assert torch.equal(net(x), expected)
    with pytest.raises(al.InputError, match="depth 3 came"):
        net.truncate(3)

"""The trainer: what it tells, what it refuses, and that AL and BP learn through it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import associated_learning as al
from associated_learning.state.optimizers import make_optimizers
from associated_learning.state.sealed import unsealed
from associated_learning.state.training_state import Candidates, EpochRecord, TrainingState
from associated_learning.training.callbacks import Callback, JsonLines, TensorBoard
from small_networks import batches_of, dense_network


def bp_network() -> al.BPNetwork:
    return al.BPNetwork(nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 4)), al.Classes(4))


@pytest.mark.parametrize("method", ["al", "bp"])
def test_both_methods_learn(method: str) -> None:
    net: al.Network = dense_network(2) if method == "al" else bp_network()
    before = al.evaluate(net, batches_of(20)).scores
    al.Trainer(epochs=8, lr=0.03).fit(net, al.LoaderBatches(batches_of(20)))
    after = al.evaluate(net, batches_of(20)).scores
    assert min(after) > 0.8 > max(before)


def test_bp_equals_plain_pytorch() -> None:
    """BP through the trainer is ordinary training: the same weights as a loop by hand."""
    torch.manual_seed(1)
    net = bp_network()
    torch.manual_seed(1)
    model = bp_network().model
    al.Trainer(epochs=2, lr=0.01, optimizer_options={"fused": False}).fit(
        net, al.LoaderBatches(batches_of(5))
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(2):
        for x, y in batches_of(5):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    torch.testing.assert_close(net.model.state_dict(), model.state_dict())


def test_learning_rates_and_schedules_are_per_layer() -> None:
    net = dense_network(2)
    state = al.Trainer(
        epochs=3,
        lr=[0.1, 0.01],
        optimizer=torch.optim.SGD,
        schedule=lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5),
    ).fit(net, al.LoaderBatches(batches_of(2)))
    rates = [record.lr for record in state.records]
    assert rates == [pytest.approx(r) for r in ([0.1, 0.01], [0.05, 0.005], [0.025, 0.0025])]


def test_every_layer_can_have_its_own_optimizer_and_schedule() -> None:
    kinds = [torch.optim.SGD, torch.optim.Adam]
    net = dense_network(2)
    optimizers = make_optimizers(net.blocks(), kinds, lr=[0.1, 0.01])
    assert [type(optimizer) for optimizer in optimizers] == kinds
    state = al.Trainer(
        epochs=2,
        optimizer=kinds,
        lr=[0.1, 0.01],
        schedule=[lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.5), None],
    ).fit(net, al.LoaderBatches(batches_of(2)))
    assert [record.lr for record in state.records] == [[0.1, 0.01], [0.05, 0.01]]


def test_plateau_schedules_of_losses_follow_the_validation_loss() -> None:
    """torch's default mode waits for a loss to fall; while it falls the rate stays."""
    train = al.LoaderBatches(batches_of(20))
    state = al.Trainer(
        epochs=5,
        lr=0.01,
        schedule=lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(o, patience=0),
    ).fit(bp_network(), train, train)
    losses = [record.validation_losses[-1] for record in state.records]
    assert losses == sorted(losses, reverse=True)
    assert {record.lr[0] for record in state.records} == {0.01}


def test_plateau_schedules_follow_the_validation_score() -> None:
    """Nothing trains at this rate, so the score never rises and every epoch cuts the rate."""
    state = al.Trainer(
        epochs=4,
        optimizer=torch.optim.SGD,
        lr=1e-6,
        schedule=lambda optimizer: torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, mode="max", patience=0, factor=0.5, eps=0.0
        ),
    ).fit(dense_network(1), al.LoaderBatches(batches_of(1)), al.LoaderBatches(batches_of(1)))
    assert [r.lr[0] for r in state.records] == pytest.approx([1e-6, 1e-6, 5e-7, 2.5e-7])


def test_a_frozen_layer_has_no_optimizer() -> None:
    net = dense_network(2)
    net.layers[0].requires_grad_(False)
    first, second = make_optimizers(net.blocks())
    assert first is None
    assert second is not None
    before = {key: value.clone() for key, value in net.layers[0].state_dict().items()}
    al.Trainer(epochs=1).fit(net, al.LoaderBatches(batches_of(2)))
    assert all(torch.equal(v, before[k]) for k, v in net.layers[0].state_dict().items())


class Recorder(Callback):
    def __init__(self) -> None:
        self.events: list[str] = []

    def started(self, state: TrainingState, *, epochs: int, batches: int) -> None:
        self.events.append(f"started {epochs}x{batches}")

    def batch_done(self, state: TrainingState, losses: list[dict[str, float]]) -> None:
        self.events.append(f"batch {state.epoch}.{state.batch}")

    def epoch_done(self, state: TrainingState, record: EpochRecord) -> None:
        self.events.append(f"epoch {record.epoch}")

    def ended(self, state: TrainingState) -> None:
        self.events.append("ended")


def test_callbacks_hear_everything_in_order() -> None:
    recorder = Recorder()
    al.Trainer(epochs=2).fit(
        dense_network(1), al.LoaderBatches(batches_of(2)), callbacks=[recorder]
    )
    assert recorder.events == [
        "started 2x2", "batch 0.1", "batch 0.2", "epoch 1", "batch 1.1", "batch 1.2", "epoch 2",
        "ended",
    ]  # fmt: skip


def test_json_lines_hold_the_records(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    state = al.Trainer(epochs=2).fit(
        dense_network(2), al.LoaderBatches(batches_of(2)), callbacks=[JsonLines(path)]
    )
    lines = [unsealed(json.loads(line)) for line in path.read_text().splitlines()]
    assert [EpochRecord(**line) for line in lines] == state.records
    assert set(lines[0]["losses"][0]) == {"associated", "autoencoder"}


def test_tensorboard_holds_losses_and_scores(tmp_path: Path) -> None:
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    train = al.LoaderBatches(batches_of(3))
    al.Trainer(epochs=2).fit(
        dense_network(2), train, train, callbacks=[TensorBoard(tmp_path, every=1)]
    )
    events = event_accumulator.EventAccumulator(str(tmp_path)).Reload()
    tags = events.Tags()["scalars"]
    assert {"loss/associated/layer-1", "loss/autoencoder/layer-2", "validation/depth-2"} <= set(
        tags
    )
    assert len(events.Scalars("loss/associated/layer-1")) == 6


def test_records_hold_the_mean_loss_of_the_epoch() -> None:
    seen: list[float] = []

    class Listen(Callback):
        def batch_done(self, state: TrainingState, losses: list[dict[str, float]]) -> None:
            seen.append(losses[0]["associated"])

    state = al.Trainer(epochs=1).fit(
        dense_network(1), al.LoaderBatches(batches_of(4)), callbacks=[Listen()]
    )
    assert state.records[0].losses[0]["associated"] == pytest.approx(sum(seen) / 4)


def test_a_data_loaders_order_is_keyed_by_the_epoch() -> None:
    x = torch.arange(12.0).view(12, 1)
    loader = DataLoader(TensorDataset(x, x), batch_size=4, shuffle=True)
    batches = al.LoaderBatches(loader, seed=3)

    def order(epoch: int, start: int = 0) -> list[float]:
        return [float(v) for xs, _ in batches.epoch(epoch, start) for v in xs]

    first = order(0)
    torch.rand(9)
    assert order(0) == first
    assert order(1) != first
    assert sorted(order(1)) == sorted(first)
    assert order(0, start=2) == first[8:]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs=0 came; expected at least 1"),
        ({"epochs": 1, "clip": -1.0}, "clip=-1.0 came; expected a positive number"),
        ({"epochs": 1, "patience": 0}, "patience=0 came"),
        ({"epochs": 1, "save_every": 0}, "save_every=0 came"),
        ({"epochs": 1, "schedule_every": "hour"}, "'hour' came; expected epoch or step"),
        ({"epochs": 1, "lr": [0.1, 0.1]}, "2 learning rates came for 1 layers"),
        ({"epochs": 1, "lr": -0.1}, "Adam cannot be made .* Invalid learning rate"),
        ({"epochs": 1, "optimizer": torch.optim.LBFGS}, "LBFGS came; .* needs no closure"),
        ({"epochs": 1, "precision": torch.float16}, "float16 came; expected None or"),
    ],
)
def test_settings_that_do_not_fit_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(al.InputError, match=message):
        al.Trainer(**settings).fit(dense_network(1), al.LoaderBatches(batches_of(1)))


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "hold no batch"),
        ([(torch.full((2, 6), float("nan")), torch.tensor([0, 1]))], "12 NaN or infinite values"),
        ([(torch.zeros(2, 6), torch.tensor([0, 4]))], "labels from 0 to 4 came"),
        ([(torch.zeros(2, 5), torch.tensor([0, 1]))], r"layer 1 cannot take batch 0 .*\[2, 5\]"),
        ([(torch.zeros(2, 6).long(), torch.tensor([0, 1]))], r"layer 1 cannot .* torch\.int64"),
        ([(torch.zeros(2, 1, 6), torch.tensor([0, 1]))], r"gives \[2, 1, \d+\] for targets of"),
        (
            [(torch.zeros(3, 6), torch.tensor([0, 1]))],
            r"targets of shape \[2\] for inputs of \[3\]",
        ),
    ],
)
def test_batches_that_do_not_fit_are_named(batches: list[Any], message: str) -> None:
    with pytest.raises(al.InputError, match=message):
        al.Trainer(epochs=1).fit(dense_network(1), al.LoaderBatches(batches))


@pytest.mark.parametrize("target", [al.Classes(4), al.Regression(4), al.MultiLabel(4)])
def test_answers_of_another_form_are_never_scored(target: Any) -> None:
    """They would be compared with each other's targets, for tensors broadcast."""
    x = torch.zeros(2, 1, 6)
    y = torch.tensor([0, 1]) if isinstance(target, al.Classes) else torch.zeros(2, 4)
    bp = al.BPNetwork(nn.Linear(6, 4), target)
    for ask in (
        lambda: al.evaluate(bp, [(x, y)]),
        lambda: al.predict_batches(bp, [x]),
        lambda: al.Trainer(epochs=1).fit(bp, [(x, y)]),
    ):
        with pytest.raises(
            al.InputError, match=r"shape \[2, 1, 4\] came, expected was \[batch, 4\]"
        ):
            ask()


@pytest.mark.parametrize(
    "around", [torch.no_grad(), torch.inference_mode(), torch.autocast("cpu", torch.bfloat16)]
)
def test_training_inside_of_what_forbids_it_is_refused(around: Any) -> None:
    with around, pytest.raises(al.InputError, match="training began inside of torch"):
        al.Trainer(epochs=1).fit(dense_network(1), al.LoaderBatches(batches_of(1)))


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        ([(torch.zeros(2, 6), torch.zeros(2), torch.zeros(2))], r"of type tuple; expected a pair"),
        (
            [{"x": torch.zeros(2, 6), "y": torch.zeros(2)}],
            r"dictionary of x, y; expected inputs and labels",
        ),
        ([(torch.zeros(2, 6), [0, 1])], "targets of type list"),
        ([(torch.zeros(0, 6), torch.zeros(0).long())], "at least one sample"),
    ],
)
def test_loaders_of_something_else_than_pairs_are_named(loader: list[Any], message: str) -> None:
    with pytest.raises(al.InputError, match=message):
        al.Trainer(epochs=1).fit(dense_network(1), al.LoaderBatches(loader))


def test_a_score_of_nan_is_never_the_best() -> None:
    state = TrainingState()
    for epoch, score in enumerate([float("nan"), 0.5, float("nan")], start=1):
        record = EpochRecord(
            epoch=epoch, step=epoch, losses=[], scores=[score], validation_losses=[0.0], lr=[0.1],
            seconds=0.0, validation_seconds=0.0,
        )  # fmt: skip
        state.finish_epoch(record, Candidates(dict(enumerate(record.scores, start=1))))
    assert (state.best_epoch, state.best_score) == (2, 0.5)


def test_validation_data_are_checked_like_training_data() -> None:
    net = dense_network(1)
    for x, message in (
        (
            torch.full((2, 6), float("nan")),
            "12 NaN or infinite values came in the inputs of batch 0",
        ),
        (torch.zeros(2, 5), r"the network cannot take batch 0 \(inputs \[2, 5\]"),
        (torch.zeros(3, 6), r"targets of shape \[2\] for inputs of \[3\]"),
    ):
        with pytest.raises(al.InputError, match=message):
            al.evaluate(net, [(x, torch.tensor([0, 1]))])


def test_weights_that_are_not_finite_never_replace_a_checkpoint(tmp_path: Path) -> None:
    net, checkpoints = dense_network(2), al.Checkpoints(tmp_path)

    class Poison(Callback):
        def batch_done(self, state: TrainingState, losses: list[dict[str, float]]) -> None:
            if state.step == 8:
                with torch.no_grad():
                    net.layers[1].f[0].weight.fill_(float("nan"))

    train = al.LoaderBatches(batches_of(4))
    with pytest.raises(
        al.NonFiniteLossError, match="weights of layer-2 are not finite after batch 7"
    ):
        al.Trainer(epochs=3).fit(net, train, callbacks=[Poison()], checkpoints=checkpoints)
    assert "000004" in checkpoints.path("last").name


def test_a_diverged_run_keeps_its_last_checkpoint(tmp_path: Path) -> None:
    net, checkpoints = dense_network(2), al.Checkpoints(tmp_path)

    class Poison(Callback):
        def batch_done(self, state: TrainingState, losses: list[dict[str, float]]) -> None:
            if state.step == 6:
                with torch.no_grad():
                    net.layers[1].f[0].weight.fill_(float("inf"))

    train = al.LoaderBatches(batches_of(4))
    with pytest.raises(al.NonFiniteLossError, match="layer 2 is not finite at batch 6"):
        al.Trainer(epochs=3).fit(net, train, train, callbacks=[Poison()], checkpoints=checkpoints)
    assert "000004" in checkpoints.path("last").name
    checkpoints.load_best(net)
    assert all(bool(torch.isfinite(p).all()) for p in net.parameters())

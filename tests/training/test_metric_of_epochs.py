"""The best epoch by another metric than the target's own score."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassF1Score, MulticlassSpecificity

import associated_learning as al
from associated_learning.inference.metrics.names import as_metric
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.tasks.metric import epoch_metric_name, headline, shown_scores

Batch = tuple[Tensor, Tensor]


def network() -> al.ALNetwork:
    torch.manual_seed(0)
    encoders = [
        nn.Sequential(nn.Linear(4, 8), nn.Tanh()),
        nn.Sequential(nn.Linear(8, 8), nn.Tanh()),
    ]
    return al.al_form(encoders, torch.randn(2, 6, 4), al.Classes(3, positions=1))


def batches(seed: int, count: int) -> list[Batch]:
    torch.manual_seed(seed)
    x = torch.randn(count, 8, 6, 4)
    y = (x.sum(-1) > 0).long() + (x[..., 0] > 1).long()
    y[:, :, 4:] = -100
    return list(zip(x, y, strict=True))


def trained(net: al.ALNetwork, metric: Any, **settings: Any) -> Any:
    train = al.LoaderBatches(batches(1, 6))
    options = {"epochs": 4, "lr": 0.3, "judge": "full", "executor": "sequential", **settings}
    return al.Trainer(metric=metric, **options).fit(net, train, al.LoaderBatches(batches(2, 2)))


@pytest.mark.parametrize(
    ("metric", "name", "sign"),
    [
        ("f1", "f1", 1),
        ("perplexity", "perplexity", -1),
        (MulticlassF1Score(3, average="weighted"), "MulticlassF1Score", 1),
    ],
)
def test_the_best_epoch_is_that_of_the_metric(metric: Any, name: str, sign: int) -> None:
    net = network()
    state = trained(net, metric)
    last = [record.scores[-1] for record in state.records]
    assert last[state.best_epoch - 1] == max(last)
    found = al.evaluate(net, batches(2, 2), metrics=[metric]).metrics[name]
    assert [sign * value for value in found] == state.records[state.best_epoch - 1].scores


def test_the_best_epoch_by_the_loss_is_that_of_the_least() -> None:
    state = trained(network(), "loss")
    losses = [record.validation_losses for record in state.records]
    assert [record.scores for record in state.records] == [[-a, -b] for a, b in losses]
    assert losses[state.best_epoch - 1][-1] == min(last for _, last in losses)


def test_training_itself_is_the_same_by_every_metric_and_in_threads() -> None:
    runs = [
        trained(network(), metric, executor=executor)
        for metric, executor in [(None, "sequential"), ("iou", "sequential"), ("iou", "threads")]
    ]
    curves = [[record.losses for record in state.records] for state in runs]
    assert curves[0] == curves[1] == curves[2]
    assert [r.scores for r in runs[1].records] == [r.scores for r in runs[2].records]


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("f2", r"metric 'f2' came for Classes\(3\); expected one of accuracy, .*perplexity"),
        (MulticlassSpecificity(3), "MulticlassSpecificity does not say whether more"),
    ],
)
def test_metrics_that_choose_nothing_are_refused_before_training(metric: Any, message: str) -> None:
    net = network()
    before = [parameter.clone() for parameter in net.parameters()]
    with pytest.raises(al.InputError, match=message):
        trained(net, metric)
    assert all(map(torch.equal, before, net.parameters()))


def test_a_metric_needs_validation_data() -> None:
    with pytest.raises(al.InputError, match=r"metric='f1' came without validation data"):
        al.Trainer(epochs=1, metric="f1").fit(network(), al.LoaderBatches(batches(1, 2)))


@pytest.mark.parametrize("target", [al.Classes(3), al.MultiLabel(3)], ids=["classes", "labels"])
def test_scores_are_shown_as_the_metric_gives_them(target: al.Target) -> None:
    """A run keeps scores of which more is better, by what torchmetrics says of each metric."""
    for name in al.metrics_by_name(target):
        kept = as_metric(name, target).sign() * 0.3
        assert shown_scores(RunConfig(metric=name), [kept]) == [0.3], name


def test_the_own_score_by_its_name_is_the_own_score() -> None:
    for task, name in (("classification", "accuracy"), ("multilabel", "label accuracy")):
        named, plain = (RunConfig(task=task, metric=m) for m in ("accuracy", None))
        assert headline(named) == headline(plain) == name
        assert epoch_metric_name(named) is None

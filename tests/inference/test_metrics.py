"""Metrics by name and by hand against scikit-learn's, on the positions that count."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as oracle
from torch import Tensor, nn
from torchmetrics.classification import BinaryAUROC, MulticlassConfusionMatrix, MulticlassF1Score
from torchmetrics.segmentation import MeanIoU

import associated_learning as al
from associated_learning.inference.metrics.metric import EvaluationMetric
from associated_learning.inference.metrics.names import metrics_by_name

Batches = list[tuple[Tensor, Tensor]]


def evaluated(
    target: al.targets.Target, batches: Batches, metrics: Any
) -> al.inference.evaluation.Evaluation:
    """Return what a network whose outputs are its inputs is worth."""
    return al.evaluate(al.BPNetwork(nn.Identity(), target=target), batches, metrics=metrics)


def labelled(k: int, *shapes: tuple[int, ...]) -> Batches:
    torch.manual_seed(0)
    return [(torch.randn(*shape, k), torch.randint(0, k, shape)) for shape in shapes]


def words() -> Batches:
    batches = labelled(4, (3, 7), (2, 5))
    for _, y in batches:
        y[:, 3:5] = -100
    batches.append((torch.randn(1, 6, 4), torch.full((1, 6), -100)))
    return batches


def flat(batches: Batches) -> tuple[np.ndarray, np.ndarray]:
    """Return outputs ``[N, k]`` and labels ``[N]`` of what counts."""
    outputs = torch.cat([x.flatten(0, -2) for x, _ in batches])
    labels = torch.cat([y.flatten() for _, y in batches])
    return outputs[labels >= 0].softmax(1).numpy(), labels[labels >= 0].numpy()


ORACLES = {
    "accuracy": lambda p, y: oracle.accuracy_score(y, p.argmax(1)),
    "balanced_accuracy": lambda p, y: oracle.balanced_accuracy_score(y, p.argmax(1)),
    "f1": lambda p, y: oracle.f1_score(y, p.argmax(1), average="macro"),
    "precision": lambda p, y: oracle.precision_score(y, p.argmax(1), average="macro"),
    "recall": lambda p, y: oracle.recall_score(y, p.argmax(1), average="macro"),
    "iou": lambda p, y: oracle.jaccard_score(y, p.argmax(1), average="macro"),
    "auroc": lambda p, y: oracle.roc_auc_score(y, p, average="macro", multi_class="ovr"),
    "average_precision": lambda p, y: oracle.average_precision_score(
        np.eye(4)[y], p, average="macro"
    ),
    "mcc": lambda p, y: oracle.matthews_corrcoef(y, p.argmax(1)),
    "kappa": lambda p, y: oracle.cohen_kappa_score(y, p.argmax(1)),
    "perplexity": lambda p, y: math.exp(oracle.log_loss(y, p, labels=range(4))),
}


@pytest.mark.parametrize("positions", [0, 1])
def test_metrics_of_classes_are_those_of_the_positions_that_count(positions: int) -> None:
    batches = words() if positions else labelled(4, (9,), (14,))
    target = al.Classes(4, positions=positions)
    found = evaluated(target, batches, list(metrics_by_name(target))).metrics
    assert set(found) == {*ORACLES, "calibration_error"}
    for name, expected in ORACLES.items():
        assert found[name] == (pytest.approx(expected(*flat(batches)), abs=1e-5),), name
    again = evaluated(target, batches, ["macro_f1", "f1_macro", "roc_auc"]).metrics
    assert list(again.values()) == [found["f1"], found["f1"], found["auroc"]]


def test_perplexity_is_that_of_the_loss_of_all_positions() -> None:
    found = evaluated(al.Classes(4, positions=1), words(), ["perplexity"])
    assert found.metrics["perplexity"][0] == pytest.approx(math.exp(found.losses[0]), rel=1e-5)


def test_outputs_that_lie_between_0_and_1_are_still_logits() -> None:
    y = torch.tensor([[0, 1]])
    found = evaluated(al.Classes(2, positions=1), [(torch.eye(2)[None], y)], ["calibration_error"])
    sure = math.e / (1 + math.e)
    assert found.metrics["calibration_error"][0] == pytest.approx(1 - sure, abs=1e-5)


def test_metrics_of_labels_leave_out_what_is_unknown() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(2, 30, 3), torch.randint(0, 2, (2, 30, 3))
    y[0, :9, 1] = -100
    y[1, 4] = -100
    target = al.MultiLabel(3, positions=1)
    found = evaluated(target, [(x, y)], list(metrics_by_name(target))).metrics
    columns = [
        (x[..., j][y[..., j] >= 0].numpy(), y[..., j][y[..., j] >= 0].numpy()) for j in range(3)
    ]
    f1 = np.mean([oracle.f1_score(known, said > 0) for said, known in columns])
    auroc = np.mean([oracle.roc_auc_score(known, said) for said, known in columns])
    assert found["f1"][0] == pytest.approx(f1, abs=1e-6)
    assert found["auroc"][0] == pytest.approx(auroc, abs=1e-6)


@pytest.mark.parametrize("d", [1, 3])
def test_metrics_of_values_leave_out_what_is_unknown(d: int) -> None:
    torch.manual_seed(0)
    x, y = torch.randn(2, 4, 5, d), torch.randn(2, 4, 5, d) + 3
    y[0, 2, 1:] = torch.nan
    target = al.Regression(d, positions=2, ignore_nan=True)
    batch = (x, y.squeeze(-1) if d == 1 else y)
    found = evaluated(target, [batch], list(metrics_by_name(target))).metrics
    known = ~torch.isnan(y).any(-1)
    pair = y[known].numpy(), x[known].numpy()
    assert found["mse"][0] == pytest.approx(oracle.mean_squared_error(*pair), rel=1e-5)
    assert found["rmse"][0] == pytest.approx(oracle.mean_squared_error(*pair) ** 0.5, rel=1e-5)
    assert found["mae"][0] == pytest.approx(oracle.mean_absolute_error(*pair), rel=1e-5)
    assert found["r2"][0] == pytest.approx(oracle.r2_score(*pair), rel=1e-4)
    variance = oracle.explained_variance_score(*pair)
    assert found["explained_variance"][0] == pytest.approx(variance, rel=1e-3, abs=1e-4)
    if d == 1:
        correlation = np.corrcoef(pair[0][:, 0], pair[1][:, 0])[0, 1]
        assert found["pearson"][0] == pytest.approx(correlation, abs=1e-5)


def test_a_metric_by_hand_is_copied_and_told_what_it_asks_for() -> None:
    weighted = MulticlassF1Score(4, average="weighted")
    whole = EvaluationMetric(
        MeanIoU(num_classes=4, input_format="index", per_class=False),
        "of images",
        lambda output, y: (output.argmax(-1), y),
    )
    batches = labelled(4, (3, 6, 5))
    found = evaluated(al.Classes(4, positions=2), batches, [weighted, whole]).metrics
    said, y = flat(batches)
    expected = oracle.f1_score(y, said.argmax(1), average="weighted")
    assert found["MulticlassF1Score"][0] == pytest.approx(expected, abs=1e-6)
    shares = [
        oracle.jaccard_score(known.flatten(), output.argmax(-1).flatten(), average="macro")
        for output, known in zip(*batches[0], strict=True)
    ]
    assert found["of images"][0] == pytest.approx(np.mean(shares), abs=1e-6)
    assert not weighted.update_called


def test_binary_metrics_of_two_classes_see_the_second() -> None:
    batches = labelled(2, (3, 7), (2, 5))
    found = evaluated(al.Classes(2, positions=1), batches, [BinaryAUROC()]).metrics
    said, y = flat(batches)
    expected = oracle.roc_auc_score(y, said[:, 1])
    assert found["BinaryAUROC"][0] == pytest.approx(expected, abs=1e-6)


def test_a_rank_measures_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only rank 0 validates; a metric that waited for the others would wait for ever."""
    monkeypatch.setattr("torchmetrics.metric.jit_distributed_available", lambda: True)
    found = evaluated(al.Classes(4, positions=1), words(), ["accuracy"])
    assert found.metrics["accuracy"] == (pytest.approx(found.scores[0]),)


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        (["f2"], r"'f2' came for Classes\(4\); expected one of accuracy, .*Did you mean 'f1'"),
        (["mae"], r"'mae' came for Classes\(4\)"),
        ([MulticlassConfusionMatrix(4)], r"MulticlassConfusionMatrix gives \[4, 4\]; expected one"),
        ([BinaryAUROC()], r"BinaryAUROC cannot take the answers .*inputs="),
        (["f1", "f1"], r"two metrics came with the name f1; .*EvaluationMetric\(metric, 'name'\)"),
    ],
)
def test_metrics_that_do_not_fit_are_refused(metrics: Any, message: str) -> None:
    with pytest.raises(al.InputError, match=message):
        evaluated(al.Classes(4, positions=1), words(), metrics)

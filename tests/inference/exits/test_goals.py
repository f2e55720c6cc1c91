"""Thresholds for a goal: against brute force, the binomial law, and cases with known answers."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional as F

import associated_learning as al
from associated_learning.errors import InputError
from associated_learning.inference.exits.calibration import (
    binary_logits,
    chance_of_being_right,
    fit_temperature,
)
from associated_learning.inference.exits.costs import DepthCosts
from associated_learning.inference.exits.goals import AccuracyGoal, CostGoal, RiskGoal, tune
from associated_learning.inference.exits.policy import ExitPolicy
from associated_learning.inference.exits.record import ExitRecord

COSTS = DepthCosts(encoders=(1.0, 1.0, 2.0), exits=(0.0, 0.0, 0.0))


def _record(
    count: int, seed: int, reliabilities: tuple[float, ...] = (1.0, 2.0, 3.0)
) -> ExitRecord:
    """Return three exits whose logits are noisy signs of the class, the later ones less noisy."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 3, (count,), generator=generator)
    hardness = torch.rand(count, 1, generator=generator) * 2
    logits = []
    for strength in reliabilities:
        noise = torch.randn(count, 3, generator=generator)
        logits.append(strength * torch.eye(3)[y] / (0.2 + hardness) + noise)
    latents = tuple(torch.zeros(count, 2) for _ in reliabilities)
    prototypes = (torch.zeros(3, 2),) * len(reliabilities)
    return ExitRecord(torch.stack(logits), latents, prototypes, y, al.Classes(3))


def _rows(record: ExitRecord, rows: Tensor) -> ExitRecord:
    latents = tuple(latent[rows] for latent in record.latents)
    return record._replace(outputs=record.outputs[:, rows], latents=latents, y=record.y[rows])


def _accuracy(record: ExitRecord, policy: ExitPolicy) -> float:
    """Walk through every sample by hand."""
    right = 0
    for n in range(len(record.y)):
        for k in range(record.depth):
            p = (record.outputs[k, n] / policy.temperatures[k]).softmax(0)
            last = k == record.depth - 1
            threshold = None if last else policy.thresholds[k]
            if last or (threshold is not None and float(p.max()) >= threshold):
                right += int(record.outputs[k, n].argmax() == record.y[n])
                break
    return right / len(record.y)


def test_accuracy_goal_is_met_and_saves() -> None:
    record = _record(600, 0)
    full = float((record.outputs[-1].argmax(1) == record.y).double().mean())
    tuned = tune(record, AccuracyGoal(0.01), COSTS)
    assert tuned.met
    assert tuned.outcome.accuracy >= full - 0.01
    assert tuned.outcome.accuracy == pytest.approx(_accuracy(record, tuned.policy), abs=2 / 600)
    assert tuned.outcome.cost < 0.9


def test_looser_goals_cost_less() -> None:
    record = _record(600, 0)
    costs = [tune(record, AccuracyGoal(drop), COSTS).outcome.cost for drop in (0.0, 0.01, 0.1, 1)]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] == pytest.approx(1 / 4)  # any accuracy will do: all leave first


def test_the_drop_of_an_accuracy_goal_holds_on_other_data() -> None:
    """On the mean of many tunings on few samples, judged on all data."""
    whole = _record(20_000, 1)
    full, drops = whole.correct()[-1].double().mean(), []
    for seed in range(40):
        rows = torch.randperm(20_000, generator=torch.Generator().manual_seed(seed))[:300]
        policy = tune(_rows(whole, rows), AccuracyGoal(0.01), COSTS).policy
        right = whole.scored(policy.measure, policy.temperatures).right(policy)
        drops.append(float(full - right.double().mean()))
    assert sum(drops) / len(drops) < 0.01


def test_cost_goal() -> None:
    record = _record(600, 0)
    half = tune(record, CostGoal(0.5), COSTS)
    assert half.met
    assert half.outcome.cost <= 0.5
    everything = tune(record, CostGoal(1.0), COSTS)
    assert everything.outcome.accuracy >= half.outcome.accuracy
    impossible = tune(record, CostGoal(0.1), COSTS)  # the first exit alone costs 0.25
    assert not impossible.met
    assert impossible.outcome.cost == pytest.approx(0.25)


def test_risk_goal_holds_as_often_as_stated() -> None:
    """Of many tunings, at most one in ten may have a risk above the bound, on all data."""
    whole = _record(20_000, 1)
    correct = whole.correct()
    broken, saved = 0, []
    for seed in range(60):
        rows = torch.randperm(20_000, generator=torch.Generator().manual_seed(seed))[:400]
        tuned = tune(_rows(whole, rows), RiskGoal(risk=0.05, confidence=0.9), COSTS)
        policy = tuned.policy
        right = whole.scored(policy.measure, policy.temperatures).right(policy)
        lost = correct[-1] & ~right
        broken += float(lost.double().mean()) > 0.05
        saved.append(1 - tuned.outcome.cost)
    assert broken <= 12  # more than 12 of 60 at 0.1 each has a chance below 0.01
    assert sum(saved) / len(saved) > 0.02


def test_risk_goal_with_too_few_samples_lets_nobody_leave() -> None:
    tuned = tune(_record(20, 2), RiskGoal(risk=0.01, confidence=0.95), COSTS)
    assert not tuned.met  # even without any loss, 10 samples say little: 0.99 ** 10 is 0.9
    assert tuned.outcome.cost == 1.0


@pytest.mark.parametrize("spread", [math.inf, 1.0, 0.3])
@pytest.mark.parametrize("scale", [0.2, 1.0, 8.0])
def test_the_temperature_is_that_of_the_least_loss(spread: float, scale: float) -> None:
    generator = torch.Generator().manual_seed(3)
    logits = scale * torch.randn(50, 4, generator=generator).double()
    y = (logits / scale + torch.randn(50, 4, generator=generator)).argmax(1)

    def loss(log_temperature: float) -> float:
        fit = F.cross_entropy(logits / math.exp(log_temperature), y, reduction="sum")
        return float(fit) + log_temperature**2 / 2 / spread**2

    found = minimize_scalar(loss, bounds=(-5, 5), method="bounded", options={"xatol": 1e-9})
    assert math.log(fit_temperature(logits, y, spread=spread)) == pytest.approx(found.x, abs=1e-4)


def test_of_labels_it_is_that_of_the_least_binary_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(4)
    logits = 3 * torch.randn(40, 5, generator=generator).double()
    y = (logits + 3 * torch.randn(40, 5, generator=generator) > 1).double()
    found = minimize_scalar(
        lambda t: float(F.binary_cross_entropy_with_logits(logits / math.exp(t), y)),
        bounds=(-5, 5), method="bounded", options={"xatol": 1e-9},
    )  # fmt: skip
    fitted = fit_temperature(binary_logits(logits).flatten(0, 1), y.flatten().long())
    assert math.log(fitted) == pytest.approx(found.x, abs=1e-4)


def test_of_few_samples_that_are_all_right_it_makes_no_certainty() -> None:
    logits = 4 * torch.eye(3)
    assert fit_temperature(logits, torch.arange(3), spread=1.0) > 0.5


def test_temperature_undoes_a_scale() -> None:
    record = _record(4_000, 3)
    logits, y = record.outputs[0], record.y
    once = fit_temperature(logits, y)
    assert fit_temperature(7 * logits, y) == pytest.approx(7 * once, rel=1e-3)


def _logistic(count: int, slope: float, offset: float) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    scores = torch.randn(count, generator=generator)
    chance = (slope * scores + offset).sigmoid()
    return scores, torch.rand(count, generator=generator) < chance


def test_curve_finds_the_law_that_made_the_data() -> None:
    curve = chance_of_being_right(*_logistic(200_000, 2.0, -0.5))
    assert curve.slope == pytest.approx(2.0, abs=0.05)
    assert curve.offset == pytest.approx(-0.5, abs=0.05)
    assert curve.score_at(0.0) == pytest.approx(0.25, abs=0.03)


def test_where_surer_answers_are_not_better_all_leave_or_none() -> None:
    scores, correct = _logistic(2_000, -2.0, 1.0)
    curve, rate = chance_of_being_right(scores, correct), float(correct.double().mean())
    odds = math.log(rate / (1 - rate))
    assert curve.score_at(odds - 0.01) < float(scores.min())
    assert curve.score_at(odds + 0.01) > float(scores.max())


def test_an_exit_that_is_always_right_is_taken_by_all() -> None:
    record = _record(200, 5)
    perfect = 100 * torch.eye(3)[record.y]
    record = record._replace(outputs=torch.stack([perfect, record.outputs[1], perfect]))
    tuned = tune(record, AccuracyGoal(0.0), COSTS)
    assert tuned.outcome.shares[0] == 1.0
    assert tuned.outcome.accuracy == 1.0


def test_bad_goals() -> None:
    record = _record(100, 6)
    with pytest.raises(InputError, match="costs of 2 layers came for 3 exits"):
        tune(record, CostGoal(), DepthCosts((1.0, 1.0), (0.0, 0.0)))
    with pytest.raises(InputError, match="3 samples"):
        tune(_record(3, 0), CostGoal(), COSTS)
    with pytest.raises(InputError, match="at least 0"):
        AccuracyGoal(-0.01)
    with pytest.raises(InputError, match="above 0"):
        CostGoal(0.0)
    with pytest.raises(InputError, match="between 0 and 1"):
        RiskGoal(risk=math.inf)


def test_outputs_of_squared_errors_are_no_logits_and_take_no_temperature() -> None:
    record = _record(100, 7)._replace(target=al.Classes(3, "mse"))
    assert tune(record, AccuracyGoal(), COSTS).policy.temperatures == (1.0, 1.0, 1.0)

"""Thresholds for a stated goal, chosen on validation data."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from associated_learning.errors import InputError, needs_extra
from associated_learning.inference.exits.calibration import chance_of_being_right, fit_temperature
from associated_learning.inference.exits.costs import DepthCosts
from associated_learning.inference.exits.policy import ExitPolicy
from associated_learning.inference.exits.policy_evaluation import PolicyEvaluation, ScoredExits
from associated_learning.inference.exits.record import ExitRecord

__all__ = ["AccuracyGoal", "CostGoal", "Goal", "RiskGoal", "Tuned", "tune"]

_CHANCES = 400  # policies that are tried, from the most cautious to the least


class Tuned(NamedTuple):
    """A policy, and what it comes to on the data it was chosen on.

    Attributes:
        policy: The policy.
        outcome: Its accuracy, cost and exits there.
        met: Whether the goal is met there; if not, it is the best that can be had.
    """

    policy: ExitPolicy
    outcome: PolicyEvaluation
    met: bool


class Goal(ABC):
    """What is wanted of a policy."""

    @abstractmethod
    def choose(self, family: Sequence[ExitPolicy], scored: ScoredExits, costs: DepthCosts) -> Tuned:
        """Choose among policies that run from the most cautious to the least."""


@dataclass(frozen=True)
class AccuracyGoal(Goal):
    """The cheapest policy whose accuracy is at most ``drop`` below that of full depth.

    Policies are tried from the most cautious on, up to the first that loses more. What a policy
    loses is known from few samples only, so some standard errors of the difference have to fit
    into the drop as well: on validation data at their word, the cheapest that seems to fit would be
    one that was lucky.

    Args:
        drop: In parts of 1: 0.002 is 0.2 points.
        errors: Number of those standard errors.
    """

    drop: float = 0.002
    errors: float = 1.0

    def __post_init__(self) -> None:
        if not (self.drop >= 0 and self.errors >= 0):
            raise InputError(
                f"AccuracyGoal({self.drop}, errors={self.errors}) came; expected both at least 0."
            )

    def choose(self, family: Sequence[ExitPolicy], scored: ScoredExits, costs: DepthCosts) -> Tuned:
        fitting = itertools.takewhile(lambda policy: self._fits(policy, scored), family)
        *_, chosen = fitting  # nobody leaving early always fits
        return Tuned(chosen, scored.outcome(chosen, costs), met=True)

    def _fits(self, policy: ExitPolicy, scored: ScoredExits) -> bool:
        lost = scored.correct[-1].double() - scored.right(policy).double()
        error = float(lost.std()) / math.sqrt(len(lost))
        return float(lost.mean()) + self.errors * error <= self.drop + 1e-12


@dataclass(frozen=True)
class CostGoal(Goal):
    """The most accurate policy whose mean cost is at most ``share`` of full depth's.

    Args:
        share: In parts of 1.
    """

    share: float = 0.5

    def __post_init__(self) -> None:
        if not self.share > 0:
            raise InputError(f"CostGoal({self.share}) came; expected a share above 0, such as 0.5.")

    def choose(self, family: Sequence[ExitPolicy], scored: ScoredExits, costs: DepthCosts) -> Tuned:
        outcomes = [scored.outcome(policy, costs) for policy in family]
        fit = [i for i, o in enumerate(outcomes) if o.cost <= self.share + 1e-12]
        if not fit:
            best = min(range(len(family)), key=lambda i: outcomes[i].cost)
        else:
            best = max(fit, key=lambda i: (outcomes[i].accuracy, -outcomes[i].cost))
        return Tuned(family[best], outcomes[best], met=bool(fit))


@dataclass(frozen=True)
class RiskGoal(Goal):
    """The cheapest policy that provably loses at most ``risk``, with probability ``confidence``.

    The risk of a policy is the chance that it is wrong on a new sample where full depth is right.
    Policies are tested from the most cautious on, by the exact binomial test, up to the first that
    fails: fixed-sequence testing of Learn then Test (Angelopoulos, Bates et al., 2021). It holds
    for samples of the same distribution as those that came, on which nothing else may have been
    fitted; `tune` makes the policies on one half of them and tests on the other.

    Args:
        risk: In parts of 1.
        confidence: In parts of 1.
    """

    risk: float = 0.01
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if not (0 < self.risk < 1 and 0 < self.confidence < 1):
            raise InputError(
                f"RiskGoal(risk={self.risk}, confidence={self.confidence}) came; expected both "
                "between 0 and 1."
            )

    def choose(self, family: Sequence[ExitPolicy], scored: ScoredExits, costs: DepthCosts) -> Tuned:
        with needs_extra("exits", "a goal of risk"):
            from scipy.special import bdtr

        full = scored.correct[-1]
        safe, met = family[0], False
        for policy in family:
            lost = int((full & ~scored.right(policy)).sum())
            if float(bdtr(lost, len(full), self.risk)) > 1 - self.confidence:
                break
            safe, met = policy, True
        return Tuned(safe, scored.outcome(safe, costs), met)


def tune(
    record: ExitRecord,
    goal: Goal,
    costs: DepthCosts,
    *,
    measure: str = "probability",
) -> Tuned:
    """Choose thresholds on validation data.

    Each exit is calibrated: its logits are divided by the temperature that fits best, and its
    confidence is turned into the chance that its answer is right, by a logistic curve (Platt). The
    policies that are compared let a sample leave where that chance is at least c, for c from 1
    down, so that one number moves the thresholds of all exits.

    Args:
        record: The exits on validation data; see `record_exits`.
        goal: What is wanted.
        costs: What encoders and exits cost, in any unit; see `depth_flops`.
        measure: How sure an exit is; see `ExitPolicy`.

    Raises:
        InputError: Too few samples came, or not one cost for each exit.
    """
    if len(costs.exits) != record.depth:
        raise InputError(
            f"costs of {len(costs.exits)} layers came for {record.depth} exits; expected as many."
        )
    if len(record.y) < 4:
        raise InputError(f"{len(record.y)} samples came to choose thresholds on; expected more.")
    split = isinstance(goal, RiskGoal)
    made, judged = (record.half(0), record.half(1)) if split else (record, record)
    family = _family(made, measure)
    return goal.choose(family, judged.scored(measure, family[0].temperatures), costs)


def _family(record: ExitRecord, measure: str) -> list[ExitPolicy]:
    """Return policies from the one by which nobody leaves early to that by which all do."""
    temperatures = tuple(_temperature(record, output) for output in record.outputs)
    scores, correct = record.scored(measure, temperatures)
    curves = [chance_of_being_right(scores[k], correct[k]) for k in range(record.depth - 1)]
    never: tuple[float | None, ...] = (None,) * (record.depth - 1)
    first = ExitPolicy(measure=measure, thresholds=never, temperatures=temperatures)
    family = [first]
    top = math.log(0.9999 / 0.0001)  # log-odds
    for logit in torch.linspace(top, -top, _CHANCES).tolist():
        thresholds = tuple(curve.score_at(logit) for curve in curves)
        if thresholds != family[-1].thresholds:
            family.append(replace(first, thresholds=thresholds))
    return family


def _temperature(record: ExitRecord, output: Tensor) -> float:
    if record.target.loss_kind == "mse":
        return 1.0  # such outputs are no logits: their probabilities do not depend on a scale
    return fit_temperature(output, record.y)

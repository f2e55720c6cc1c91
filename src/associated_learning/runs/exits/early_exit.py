"""Early exit of a run: thresholds tuned on its validation data, and kept in its folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from associated_learning.data import DataSet
from associated_learning.errors import InputError
from associated_learning.inference.exits.costs import DepthCosts, depth_flops
from associated_learning.inference.exits.goals import (
    AccuracyGoal,
    CostGoal,
    Goal,
    RiskGoal,
    Tuned,
    tune,
)
from associated_learning.inference.exits.policy import ExitPolicy
from associated_learning.inference.exits.record import ExitRecord, record_exits
from associated_learning.network import ALNetwork
from associated_learning.runs.folder.open_run import OpenRun
from associated_learning.runs.inputs import evaluation_batches
from associated_learning.state.files import read_json, write_json

__all__ = [
    "RecordedSplit",
    "al_network",
    "has_policy",
    "parsed_goal",
    "read_policy",
    "recorded",
    "write_policy",
]

_GOALS = "accuracy:POINTS, cost:PERCENT or risk:PERCENT"


def parsed_goal(text: str) -> Goal:
    """Read a goal such as "accuracy:0.2" (at most 0.2 points lost), "cost:50" or "risk:1".

    Raises:
        InputError: It is none.
    """
    kind, _, number = text.partition(":")
    try:
        value = float(number) / 100
    except ValueError:
        raise InputError(f"goal {text!r} came; expected {_GOALS}, such as accuracy:0.2.") from None
    goals: dict[str, Callable[[float], Goal]] = {
        "accuracy": AccuracyGoal,
        "cost": CostGoal,
        "risk": RiskGoal,
    }
    if kind not in goals:
        raise InputError(f"goal {text!r} came; expected {_GOALS}, such as accuracy:0.2.")
    return goals[kind](value)


def al_network(opened: OpenRun) -> ALNetwork:
    """Return the network of a run. Raises InputError if it has no early exits."""
    if not isinstance(opened.net, ALNetwork):
        raise InputError(
            "a run of backpropagation came, which answers at full depth only; early exit needs a "
            "run of --method al."
        )
    return opened.net


class RecordedSplit(NamedTuple):
    """What all exits of a run say of a split of its data: any policy can be judged on it.

    Attributes:
        record: Their answers; the network passed the data once.
        costs: What they cost there.
    """

    record: ExitRecord
    costs: DepthCosts

    def tuned(self, goal: Goal, measure: str) -> Tuned:
        """Choose thresholds for a goal, where this is the validation data.

        Raises:
            InputError: There are too few samples.
        """
        return tune(self.record, goal, self.costs, measure=measure)


def recorded(opened: OpenRun, data: DataSet, split: str) -> RecordedSplit:
    """Return what all exits of a run say of a split of its data, and what they cost there.

    Raises:
        InputError: The run is one of backpropagation.
    """
    net = al_network(opened)
    batches = evaluation_batches(opened.config, data, split)
    x, _ = next(batches.epoch(0))
    return RecordedSplit(record_exits(net, batches.epoch(0)), depth_flops(net, x))


def write_policy(folder: Path, tuned: Tuned) -> None:
    """Keep a policy in a run's folder."""
    write_json(folder / "exits.json", tuned.policy.to_json())


def has_policy(folder: Path) -> bool:
    """Whether a run has an exit policy, which `read_policy` reads."""
    return (folder / "exits.json").exists()


def read_policy(folder: Path) -> ExitPolicy:
    """Read the policy of a run. Raises InputError if it has none."""
    if not has_policy(folder):
        raise InputError(
            f"{folder} has no exit policy yet; choose its thresholds first: "
            f"al evaluate {folder} --exits"
        )
    return ExitPolicy.from_json(read_json(folder / "exits.json"))

"""Early exit of a run: tuned on its validation data, judged and timed on its test data."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from associated_learning.data import DataSet
from associated_learning.data.batches import Batches
from associated_learning.errors import InputError
from associated_learning.exits.adaptive import AdaptiveInference
from associated_learning.exits.costs import DepthCosts, depth_flops
from associated_learning.exits.goals import AccuracyGoal, CostGoal, Goal, RiskGoal, Tuned, tune
from associated_learning.exits.outcome import Outcome
from associated_learning.exits.policy import ExitPolicy
from associated_learning.exits.record import record_exits
from associated_learning.experiments.inputs import evaluation_batches
from associated_learning.experiments.run import OpenRun
from associated_learning.files import read_json, write_json
from associated_learning.inference import predict_batches
from associated_learning.network import ALNetwork

__all__ = [
    "ExitReport",
    "al_network",
    "exit_report",
    "parsed_goal",
    "read_policy",
    "tune_run",
    "write_policy",
]

BATCH_SIZES = (1, 32, 256)
_ROUNDS = 5
_SAMPLES = 512  # of the test set, to be timed
_GOALS = "accuracy:POINTS, cost:PERCENT or risk:PERCENT"


class ExitReport(NamedTuple):
    """What each depth, and early exit, come to on the test data.

    Attributes:
        tuned: The policy, and what it came to on the validation data.
        scores: Accuracy at each depth.
        flops: Operations for a sample through each prefix.
        outcome: What early exit comes to; its cost is in operations.
        milliseconds: For each batch size, of a sample through each prefix, and of early exit last.
    """

    tuned: Tuned
    scores: tuple[float, ...]
    flops: tuple[float, ...]
    outcome: Outcome
    milliseconds: dict[int, list[float]]


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


def tune_run(opened: OpenRun, data: DataSet, goal: Goal, measure: str) -> Tuned:
    """Choose thresholds on the validation data of a run.

    Raises:
        InputError: The run is one of backpropagation, or has too few validation samples.
    """
    net = al_network(opened)
    batches = evaluation_batches(opened.config, data, "validation")
    record = record_exits(net, batches.epoch(0))
    return tune(record, goal, _costs(net, batches), measure=measure)


def exit_report(opened: OpenRun, data: DataSet, tuned: Tuned) -> ExitReport:
    """Judge a policy, and every depth, on the test data of a run."""
    net = al_network(opened)
    batches = evaluation_batches(opened.config, data, "test")
    record = record_exits(net, batches.epoch(0))
    costs = _costs(net, batches)
    return ExitReport(
        tuned=tuned,
        scores=tuple(record.correct().double().mean(dim=1).tolist()),
        flops=costs.prefixes,
        outcome=record.outcome(tuned.policy, costs),
        milliseconds={size: _milliseconds(net, data, tuned.policy, size) for size in BATCH_SIZES},
    )


def write_policy(folder: Path, tuned: Tuned) -> None:
    """Keep a policy in a run's folder."""
    write_json(folder / "exits.json", tuned.policy.to_json())


def read_policy(folder: Path) -> ExitPolicy:
    """Read the policy of a run. Raises InputError if it has none."""
    path = folder / "exits.json"
    if not path.exists():
        raise InputError(
            f"{folder} has no exit policy yet; choose its thresholds first: "
            f"al evaluate {folder} --exits"
        )
    return ExitPolicy.from_json(read_json(path))


def _costs(net: ALNetwork, batches: Batches) -> DepthCosts:
    x, _ = next(batches.epoch(0))
    return depth_flops(net, x)


def _milliseconds(net: ALNetwork, data: DataSet, policy: ExitPolicy, size: int) -> list[float]:
    """Return the time of a sample through each prefix, and by early exit; medians, in turns."""
    batches = Batches(samples=data.test, batch_size=size, shuffle=False)
    # one by one, few are enough
    inputs = [x for x, _ in itertools.islice(batches.epoch(0), max(1, min(_SAMPLES // size, 64)))]
    count = min(len(data.test), size * len(inputs))
    depths = range(1, net.num_layers + 1)
    ways: list[Callable[[], Any]] = [partial(predict_batches, net, inputs, k) for k in depths]
    ways.append(partial(AdaptiveInference(net, policy).predict_batches, inputs))
    rounds = [[_seconds(way) for way in ways] for _ in range(1 + _ROUNDS)][1:]
    return [1e3 * statistics.median(times) / count for times in zip(*rounds, strict=True)]


def _seconds(way: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    way()
    return time.perf_counter() - begin

"""What early exit comes to on the test data of a run, beside every depth and backpropagation."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from associated_learning.data import DataSet
from associated_learning.data.batches import Batches
from associated_learning.errors import InputError
from associated_learning.inference.evaluation import evaluate, predict_batches
from associated_learning.inference.exits.adaptive import AdaptiveInference
from associated_learning.inference.exits.costs import full_flops
from associated_learning.inference.exits.goals import CostGoal, Tuned
from associated_learning.inference.exits.policy_evaluation import PolicyEvaluation
from associated_learning.runs.exits.early_exit import RecordedSplit, al_network, recorded
from associated_learning.runs.folder.open_run import OpenRun
from associated_learning.runs.inputs import evaluation_batches

__all__ = ["BATCH_SIZES", "ExitReport", "OperatingPoint", "exit_report"]

BATCH_SIZES = (1, 32, 256)
BUDGETS = (0.15, 0.25, 0.35, 0.5, 0.7, 0.9)  # shares of the operations of full depth
_ROUNDS = 5
_SAMPLES = 512  # of the test set, to be timed
_SINGLE = 64  # one by one, fewer are enough


class OperatingPoint(NamedTuple):
    """One way to answer the test data.

    Attributes:
        accuracy: Share of right answers.
        flops: Mean operations of a sample.
        milliseconds: Time of a sample by size of batch, on this machine.
    """

    accuracy: float
    flops: float
    milliseconds: Mapping[int, float]


class ExitReport(NamedTuple):
    """What each depth, and early exit, come to on the test data.

    Attributes:
        tuned: The policy, and what it came to on the validation data.
        outcome: What it comes to here; its cost is a share of the operations.
        adaptive: The same as a way to answer.
        depths: Each prefix, from depth 1 up.
        budgets: Early exit by thresholds that spend a share of the operations on the validation
            data, from the least up (budgeted batch classification: Huang et al., 2018).
        backprop: A network trained by backpropagation, if one came.
    """

    tuned: Tuned
    outcome: PolicyEvaluation
    adaptive: OperatingPoint
    depths: tuple[OperatingPoint, ...]
    budgets: tuple[OperatingPoint, ...]
    backprop: OperatingPoint | None


class _Candidate(NamedTuple):
    """A way to answer that is still to be timed."""

    accuracy: float
    flops: float
    answer: Callable[[list[Any]], object]


def exit_report(
    opened: OpenRun,
    data: DataSet,
    tuned: Tuned,
    *,
    validation: RecordedSplit,
    backprop: OpenRun | None = None,
    sizes: tuple[int, ...] = BATCH_SIZES,
) -> ExitReport:
    """Judge a policy, every depth, and a row of budgets, on the test data of a run.

    All are timed in turns, with as many threads as torch has.

    Raises:
        InputError: A run is of the wrong method or of other data.
    """
    if backprop is not None:
        _check_rival(opened, backprop)
    net = al_network(opened)
    record, costs = recorded(opened, data, "test")
    full = costs.prefixes[-1]

    def early(tuned: Tuned) -> _Candidate:
        outcome = record.outcome(tuned.policy, costs)
        answer = AdaptiveInference(net, tuned.policy).predict_batches
        return _Candidate(outcome.accuracy, outcome.cost * full, answer)

    prefixes = [
        _Candidate(float(right.double().mean()), flops, partial(predict_batches, net, depth=depth))
        for depth, (right, flops) in enumerate(
            zip(record.correct(), costs.prefixes, strict=True), start=1
        )
    ]
    budgets = [early(policy) for policy in _budgeted(validation, tuned.policy.measure)]
    rivals = [] if backprop is None else [_rival(backprop, data)]
    ways = _timed([early(tuned), *prefixes, *budgets, *rivals], data, sizes)
    end = 1 + len(prefixes)
    return ExitReport(
        tuned=tuned,
        outcome=record.outcome(tuned.policy, costs),
        adaptive=ways[0],
        depths=tuple(ways[1:end]),
        budgets=tuple(ways[end : end + len(budgets)]),
        backprop=ways[-1] if rivals else None,
    )


def _check_rival(opened: OpenRun, rival: OpenRun) -> None:
    if rival.config.method != "bp":
        raise InputError("a run of AL came to compare with; expected one of --method bp.")
    ours, theirs = opened.config, rival.config
    if (ours.data, ours.limit_train, ours.data_seed, opened.spec) != (
        theirs.data,
        theirs.limit_train,
        theirs.data_seed,
        rival.spec,
    ):
        raise InputError(
            f"a run on {theirs.data} came to compare with one on {ours.data}; expected the same "
            "data, split, vocabulary and vectors."
        )


def _budgeted(validation: RecordedSplit, measure: str) -> list[Tuned]:
    """Return a policy for each budget that can be kept, and no policy twice."""
    found = [validation.tuned(CostGoal(share), measure) for share in BUDGETS]
    different = {tuned.policy: tuned for tuned in found if tuned.met}
    return list(different.values())


def _rival(opened: OpenRun, data: DataSet) -> _Candidate:
    batches = evaluation_batches(opened.config, data, "test")
    accuracy = evaluate(opened.net, batches.epoch(0)).scores[-1]
    x, _ = next(batches.epoch(0))
    flops = full_flops(opened.net, x)
    return _Candidate(accuracy, flops, partial(predict_batches, opened.net))


def _timed(
    candidates: list[_Candidate], data: DataSet, sizes: tuple[int, ...]
) -> list[OperatingPoint]:
    answers = [candidate.answer for candidate in candidates]
    times = {size: _milliseconds(answers, data, size) for size in sizes}
    return [
        OperatingPoint(one.accuracy, one.flops, {size: column[i] for size, column in times.items()})
        for i, one in enumerate(candidates)
    ]


def _milliseconds(
    answers: list[Callable[[list[Any]], object]], data: DataSet, size: int
) -> list[float]:
    """Return the time of a sample by each way: medians, taken in turns."""
    batches = Batches(samples=data.test, batch_size=size, shuffle=False)
    count = max(1, min(_SAMPLES // size, _SINGLE))
    inputs = [x for x, _ in itertools.islice(batches.epoch(0), count)]
    samples = min(len(data.test), size * len(inputs))
    rounds = [[_seconds(partial(answer, inputs)) for answer in answers] for _ in range(1 + _ROUNDS)]
    return [1e3 * statistics.median(times) / samples for times in zip(*rounds[1:], strict=True)]


def _seconds(way: Callable[[], object]) -> float:
    begin = time.perf_counter()
    way()
    return time.perf_counter() - begin

"""When a network grows, ends and freezes layers: the rules as tables."""

from __future__ import annotations

from typing import Any

import pytest

import associated_learning as al
from associated_learning.state.training_state import Candidates, EpochRecord, TrainingState
from associated_learning.training.growth.rules import Decision, decide
from growing import after, layer


def record(epoch: int, scores: list[float], losses: list[float] | None = None) -> EpochRecord:
    """An epoch of as many layers as there are scores."""
    falling = [1.0 / epoch] * len(scores)
    return EpochRecord(
        epoch=epoch,
        step=10 * epoch,
        losses=[{"associated": loss, "autoencoder": 0.0} for loss in losses or falling],
        scores=scores,
        validation_losses=[0.0] * len(scores),
        lr=[0.1] * len(scores),
        seconds=1.0,
        validation_seconds=1.0,
    )


def records(*scores: list[float], losses: list[list[float]] | None = None) -> list[EpochRecord]:
    of_layers = [None] * len(scores) if losses is None else losses
    pairs = enumerate(zip(scores, of_layers, strict=True), start=1)
    return [record(epoch, *pair) for epoch, pair in pairs]


def rules(**options: Any) -> al.Growth:
    return al.Growth(make=layer, **{"max_layers": 3, "patience": 2, **options})


NAN = float("nan")
CURVES: dict[str, tuple[list[list[float]], dict[str, Any], tuple[int, bool]]] = {
    # scores by epoch and depth, rules; then: how many layers there are next, whether it is over
    "rises": ([[0.1], [0.2], [0.3]], {}, (1, False)),
    "has not risen for one epoch": ([[0.1], [0.3], [0.3]], {}, (1, False)),
    "has not risen for two": ([[0.3], [0.3], [0.2]], {}, (2, False)),
    "it creeps upward: less than min_rise in two epochs": (
        [[0.25], [0.5], [0.5625], [0.5625]],
        {"min_rise": 0.125},
        (2, False),
    ),
    "just min_rise is not more than it": (
        [[0.5], [0.5625], [0.625]],
        {"min_rise": 0.125},
        (2, False),
    ),
    "it rises faster than that": ([[0.5], [0.5625], [0.75]], {"min_rise": 0.125}, (1, False)),
    "a low epoch before is no rise": (
        [[0.5], [0.125], [0.5], [0.5]],
        {"min_rise": 0.25},
        (2, False),
    ),
    "what creeps is young: no second epoch to compare": (
        [[0.5], [0.5]],
        {"min_rise": 0.5},
        (1, False),
    ),
    "NaN is no rise": ([[0.3], [NAN], [NAN]], {}, (2, False)),
    "the new top counts from its first epoch": (
        [[0.3], [0.3], [0.3], [0.3, 0.4], [0.3, 0.4]],
        {},
        (2, False),
    ),
    "the new top was worth it": (
        [[0.3], [0.3], [0.3], [0.3, 0.4], [0.3, 0.4], [0.3, 0.4]],
        {},
        (3, False),
    ),
    "it was not worth its cost": (
        [[0.3], [0.3], [0.3], [0.3, 0.4], [0.3, 0.4], [0.3, 0.4]],
        {"min_gain": 0.15},
        (2, True),
    ),
    "the depth below caught up with it": (
        [[0.3], [0.3], [0.3], [0.4, 0.4], [0.3, 0.4], [0.3, 0.4]],
        {},
        (2, True),
    ),
    "what it adds to the best of the depth below counts, not to the last": (
        [[0.6], [0.3], [0.3], [0.3, 0.5], [0.3, 0.5], [0.3, 0.5]],
        {},
        (2, True),
    ),
    "layers that were there at first are not asked": (
        [[0.4, 0.3], [0.4, 0.3], [0.4, 0.3]],
        {},
        (3, False),
    ),
    "there are enough layers": ([[0.1, 0.2, 0.3]] * 3, {}, (3, True)),
    "a rule of one's own grows whatever the scores": (
        [[0.1], [0.2]],
        {"when": after(2)},
        (2, False),
    ),
    "a rule of one's own does not end training": (
        [[0.3, 0.2, 0.1]] * 5,
        {"when": after(5)},
        (3, False),
    ),
    "a rule of one's own may wait": ([[0.3]] * 5, {"when": after(6)}, (1, False)),
}


@pytest.mark.parametrize("name", CURVES)
def test_scores_decide_on_depth(name: str) -> None:
    scores, options, expected = CURVES[name]
    decision = decide(rules(**options), records(*scores))
    assert (decision.depth, decision.over) == expected


LOSSES: dict[str, tuple[list[list[float]], dict[str, Any], int, int]] = {
    # training losses by epoch and layer, rules, frozen before; then: frozen from now on
    "both fall": ([[9, 9], [8, 8], [7, 7], [6, 6]], {}, 0, 0),
    "the lower one has settled": ([[9, 9], [9, 8], [9, 7], [9, 6]], {}, 0, 1),
    "a fall of less than settle counts as none": ([[9, 9], [8.95, 8], [8.92, 7]], {}, 0, 1),
    "and one of more does not": ([[9, 9], [8.95, 8], [8.8, 7]], {}, 0, 0),
    "not for long enough": ([[9, 9], [9, 8]], {}, 0, 0),
    "the top one is never frozen": ([[9, 9]] * 5, {}, 0, 1),
    "bottom-up only": ([[9, 9, 9], [8, 9, 8], [7, 9, 7], [6, 9, 6]], {}, 0, 0),
    "several at once": ([[9, 9, 9], [9, 9, 8], [9, 9, 7], [9, 9, 6]], {}, 0, 2),
    "what is frozen stays so": ([[9, 9], [8, 8], [7, 7]], {}, 1, 1),
    "none without patience": ([[9, 9]] * 5, {"layer_patience": None}, 0, 0),
    "the old top when there is a new one": ([[9]] * 5, {"when": after(5)}, 0, 1),
    "all below a new one": (
        [[9, 9], [5, 5], [1, 1]], {"when": after(3), "freeze_below": True}, 0, 2
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_losses_decide_what_is_frozen(name: str) -> None:
    losses, options, frozen, expected = LOSSES[name]
    rising = [[epoch / 100] * len(row) for epoch, row in enumerate(losses)]
    options = {"layer_patience": 2, "settle": 0.01, **options}
    decision = decide(rules(**options), records(*rising, losses=losses), frozen=frozen)
    assert decision.frozen == expected


def test_a_decision_asked_for_again_is_the_same() -> None:
    """A run that was killed before it grew decides anew from what it saved."""
    flat = records(*[[0.3, 0.5]] * 4, losses=[[9, 9]] * 4)
    growth = rules(layer_patience=1)
    decision = decide(growth, flat)
    assert decision == Decision(3, 2, over=False)
    assert decide(growth, flat, frozen=decision.frozen) == decision


@pytest.mark.parametrize(
    ("scores", "cost", "expected"),
    [
        ([[0.5, 0.6]], 0.0, (1, 2)),
        ([[0.6, 0.6]], 0.0, (1, 1)),  # of equals the smaller
        ([[0.5, 0.6], [0.6, 0.55]], 0.0, (2, 1)),  # also of a later epoch
        ([[0.5, 0.6]], 0.2, (1, 1)),  # not worth its cost
        ([[0.5, 0.6, 0.9]], 0.15, (1, 3)),
        ([[0.5], [0.5, 0.8], [0.7, 0.75]], 0.1, (2, 2)),
        ([[0.6], [NAN, NAN]], 0.0, (1, 1)),
        ([[0.6, 0.5]], None, (1, 2)),  # a network that does not grow is kept as a whole
        ([[0.6, 0.5], [0.9, 0.5]], None, (1, 2)),
    ],
)
def test_the_best_epoch_is_that_of_a_depth(
    scores: list[list[float]], cost: float | None, expected: tuple[int, int]
) -> None:
    state = TrainingState()
    found = []
    for one in records(*scores):
        depths = dict(enumerate(one.scores, start=1))
        kept = {len(depths): one.scores[-1]} if cost is None else depths
        found.append(state.finish_epoch(one, Candidates(kept, cost or 0.0)))
    assert (state.best_epoch, state.best_depth) == expected
    assert state.best_score == scores[expected[0] - 1][expected[1] - 1]
    assert [epoch for epoch, best in enumerate(found, start=1) if best][-1] == state.best_epoch


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_layers": 0}, "max_layers=0 came; expected at least 1"),
        ({"patience": 0}, "patience=0 came; expected at least 1"),
        ({"layer_patience": 0}, "layer_patience=0 came; expected at least 1"),
        ({"min_gain": -0.1}, "min_gain=-0.1 came; expected 0 or more"),
        ({"min_gain": NAN}, "min_gain=nan came"),
        ({"min_rise": -0.1}, "min_rise=-0.1 came; expected 0 or more"),
        ({"min_rise": NAN}, "min_rise=nan came"),
        ({"settle": 1.0}, "settle=1.0 came; expected 0 to 1"),
    ],
)
def test_rules_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(al.InputError, match=message):
        rules(**options)

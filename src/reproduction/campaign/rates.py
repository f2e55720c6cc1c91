"""Which learning rate each arm of a tuned tier has: the best of its grid, read from the ledger."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from associated_learning.runs.ledger.rows import LedgerRow
from reproduction.campaign.identity import Identity, same_but_vectors
from reproduction.paper.data_paths import DataPaths
from reproduction.paper.rates import compared_arms
from reproduction.paper.runs import Run
from reproduction.paper.tiers import RESAMPLED, tier_has

__all__ = [
    "GRID",
    "TUNING_SEED",
    "RateScores",
    "best_rate",
    "grid_of",
    "is_inside",
    "subset_of_seed",
    "switches",
    "tunes",
    "wanted_rates",
    "with_rate",
]

GRID = (1.25e-4, 2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3)  # each twice the one before it
# a run takes minutes, above all at the lowest rates, which are tried if they are asked for
_OF_LSTMS = GRID[2:]
TUNING_SEED = 0
# What the study's forms of AL are worth in trials: it tried seven more of them on this cell
# (`variants`), so either backpropagation gets seven settings more, at its best rate.
_SWITCHED = {
    (data, model, arm): (
        *(("weight_decay", value) for value in (1e-5, 1e-4, 1e-3)),
        *(("label_smoothing", value) for value in (0.05, 0.1, 0.2)),
        ("batch_size", 64),
    )
    for data, model in [("fashion_mnist", "cnn")]
    for arm in ("bp", "bp-encoders")
}
_LEAST, _MOST = 3e-6, 0.07  # where a grid ends that has found no best rate
_DIGITS = 10  # so that halves of halves are the same number again

Scores = Mapping[float, float]


class RateScores:
    """The validation accuracy of every learning rate that was tried by the tuned tier.

    One seed tunes; test accuracies are never read.
    """

    def __init__(self, rows: Iterable[LedgerRow] = ()) -> None:
        self._scores: dict[Identity, dict[float, float]] = {}
        for row in rows:
            self.add(row)

    def add(self, row: LedgerRow) -> None:
        """Take account of one more row."""
        if (row.tier, row.seed) != (RESAMPLED, TUNING_SEED):
            return
        found = same_but_vectors(row.config)
        if found is not None:
            rate = float(row.config["lr"])
            self._scores.setdefault(_but_rate(found), {})[rate] = row.result.validation_scores[-1]

    def of(self, run: Run) -> dict[float, float]:
        """Return the score of each rate of a run, whatever rate it has itself, in rising order."""
        if not tier_has(RESAMPLED, run.data):
            return {}
        return dict(sorted(self._scores.get(_asked(run), {}).items()))

    def settings_of(self, run: Run) -> dict[Run, float]:
        """Return the score of each setting that was tried of an arm: rates, then switches."""
        rates = self.of(run)
        if not rates:
            return {}
        others = switches(with_rate(run, best_rate(rates)))
        found = {other: self.of(other).get(best_rate(rates)) for other in others}
        return {
            **{with_rate(run, rate): score for rate, score in rates.items()},
            **{other: score for other, score in found.items() if score is not None},
        }

    def tuned(self, run: Run) -> Run | None:
        """Return a run with its best setting; None if none was tried, itself if it has a rate."""
        if "lr" in dict(run.extra):
            return run
        settings = self.settings_of(run)
        return max(settings, key=lambda one: settings[one]) if settings else None


def tunes(run: Run) -> bool:
    """Return whether the tuned tier has a run."""
    return run.arm in compared_arms(run.model) and not run.extra and tier_has(RESAMPLED, run.data)


def switches(run: Run) -> tuple[Run, ...]:
    """Return the further settings that the arm of a run gets, each at the rate of the run."""
    others = _SWITCHED.get((run.data, run.model, run.arm), ())
    return tuple(replace(run, extra=(*run.extra, other)) for other in others)


def with_rate(run: Run, rate: float) -> Run:
    """Return a run with a learning rate.

    Example:
        >>> with_rate(Run(data="cifar10", model="cnn", arm="al"), 0.001).name
        'cifar10-cnn-al-lr=0.001'
    """
    others = tuple((name, value) for name, value in run.extra if name != "lr")
    return replace(run, extra=(("lr", rate), *others))


def best_rate(scores: Scores) -> float:
    """Return the rate of the best validation accuracy; of equal ones the smallest."""
    return max(sorted(scores), key=lambda rate: scores[rate])


def is_inside(scores: Scores) -> bool:
    """Return whether the best rate has a worse one on either side.

    Example:
        >>> is_inside({1e-3: 0.5, 2e-3: 0.6, 4e-3: 0.6}), is_inside({1e-3: 0.7, 2e-3: 0.6})
        (True, False)
    """
    return bool(scores) and min(scores) < best_rate(scores) < max(scores)


def grid_of(model: str) -> tuple[float, ...]:
    """Return the rates with which the grid of a network begins.

    Example:
        >>> grid_of("bilstm")
        (0.0005, 0.001, 0.002, 0.004)
    """
    return _OF_LSTMS if model == "bilstm" else GRID


def wanted_rates(arms: Sequence[Scores], grid: Sequence[float] = GRID) -> tuple[float, ...]:
    """Return the rates that every arm of a cell should have tried, in rising order.

    They are the grid to begin with, what any arm has tried, and one more beyond an edge at which
    the best rate of an arm lies that has tried them all: so all arms are given the same number of
    settings.

    Args:
        arms: The scores of each arm of one data set and model; below 0 where training failed.
        grid: The rates to begin with.

    Example:
        >>> flat = dict.fromkeys(GRID, 0.5)
        >>> wanted_rates([flat | {1e-3: 0.6}]) == GRID
        True
        >>> wanted_rates([flat | {1e-3: 0.6}, flat | {4e-3: 0.6}])[-1]
        0.008
    """
    wanted = set(grid).union(*arms)
    beyond = set()
    for scores in arms:
        best = best_rate(scores) if scores else 0.0
        if wanted <= set(scores) and not is_inside(scores) and scores[best] >= 0:
            rate = min(wanted) / 2 if best == min(wanted) else max(wanted) * 2
            beyond.add(round(rate, _DIGITS))
    return tuple(sorted(wanted | {rate for rate in beyond if _LEAST <= rate <= _MOST}))


def subset_of_seed(config: Mapping[str, Any], tier: str) -> Mapping[str, Any] | None:
    """Return settings as those of seed 0, where the tier lets each seed draw its own subset.

    So rows of all seeds are of one run; None for a row whose subset is not that of its seed.
    """
    if tier != RESAMPLED:
        return config
    return {**config, "data_seed": 0} if config.get("data_seed") == config.get("seed") else None


@functools.cache
def _asked(run: Run) -> Identity:
    found = same_but_vectors(run.config(RESAMPLED, TUNING_SEED, DataPaths(vectors="any")).to_json())
    assert found is not None  # the settings are of this version
    return _but_rate(found)


def _but_rate(found: Identity) -> Identity:
    return tuple((name, value) for name, value in found if name != "lr")

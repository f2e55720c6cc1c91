"""Which settings each arm was given, and whether that was fair."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping

from reproduction.campaign.rates import TUNING_SEED, with_rate
from reproduction.paper import rates, variants
from reproduction.paper.arms import ARMS
from reproduction.paper.runs import Run
from reproduction.paper.tiers import RESAMPLED
from reproduction.report.cells import Evidence, RowIndex, data_sizes
from reproduction.report.training import is_capped

__all__ = ["broken_by_grids", "settings_tried", "tried_rates"]

FEWEST = 3  # rates, so that one can lie inside
_STEP = 2.0  # between neighbours of a grid
_GRIDS = {"cpu": rates.TABLE, "full": rates.IMAGES}
_SWITCHED = ("contrast",)  # arms whose form was chosen by the study, which counts as tuning


def broken_by_grids(index: RowIndex, present: Mapping[str, Evidence]) -> Iterator[str]:
    """Yield what is unfair in the settings that were tried of the arms of a comparison.

    Args:
        index: All rows.
        present: The rows of each arm that is there, with the same data and model.
    """
    tried = {arm: tried_rates(index, evidence, arm) for arm, evidence in present.items()}
    counts = settings_tried(index, present)
    ours = [count for arm, count in counts.items() if ARMS[arm].is_al]
    theirs = [count for arm, count in counts.items() if not ARMS[arm].is_al]
    few = min(map(len, tried.values()), default=FEWEST) < FEWEST
    if few or max(ours, default=0) > min(theirs, default=0):
        told = ", ".join(f"{_name(arm)} {count}" for arm, count in counts.items())
        yield f"settings tried: {told}"
    yield from _of_missing_rates(tried)
    for arm, scores in tried.items():
        if len(scores) >= FEWEST:
            yield from _of_grid(index, present[arm], arm, scores)


def _of_missing_rates(tried: Mapping[str, Mapping[float, float]]) -> Iterator[str]:
    ours = {rate for arm, scores in tried.items() if ARMS[arm].is_al for rate in scores}
    for arm, scores in tried.items():
        lacking = sorted(ours - set(scores))
        if lacking and not ARMS[arm].is_al and len(scores) >= FEWEST:
            told = ", ".join(f"{rate:g}" for rate in lacking)
            yield f"{_name(arm)} was not given rates that AL was: {told}"


def _of_grid(
    index: RowIndex, evidence: Evidence, arm: str, scores: Mapping[float, float]
) -> Iterator[str]:
    name, ordered = _name(arm), sorted(scores)
    best = max(ordered, key=lambda rate: scores[rate])
    place = ordered.index(best)
    if place in (0, len(ordered) - 1):
        yield f"the best rate of {name}, {best:g}, is at the edge of its grid"
    around = ordered[max(place - 1, 0) : place + 2]
    if any(high / low > _STEP * 1.001 for low, high in itertools.pairwise(around)):
        yield f"the grid of {name} has a step of more than two beside its best rate, {best:g}"
    if evidence.rows[0].config["lr"] != best:
        yield f"{name} has not its best rate, {best:g}"
    grid = [index.evidence(run, evidence.tier) for run in _grid_runs(evidence, arm, ordered)]
    rows = [row for one in grid if one is not None for row in one.rows if row.seed == TUNING_SEED]
    if any(data_sizes(row) != data_sizes(evidence.rows[0]) for row in rows):
        yield f"the rate of {name} was chosen on other data than it is compared on"
    capped = sum(map(is_capped, rows))
    if capped:
        yield f"the cap of epochs ended {capped} of {len(rows)} runs that chose the rate of {name}"
    if any(one is not None and TUNING_SEED in one.repeated for one in grid):
        yield f"a run that chose the rate of {name} was made again, with another result"


def _grid_runs(evidence: Evidence, arm: str, tried: Collection[float]) -> list[Run]:
    """Return the runs by which the rate of an arm was chosen."""
    if evidence.tier == RESAMPLED:
        return [with_rate(_run_of_arm(evidence, arm), rate) for rate in tried]
    wanted = (evidence.run.data, evidence.run.model, arm)
    runs = (cell.run for cell in _GRIDS[evidence.tier].cells)
    return [run for run in runs if (run.data, run.model, run.arm) == wanted]


def tried_rates(index: RowIndex, evidence: Evidence, arm: str) -> dict[float, float]:
    """Return the validation accuracy of each learning rate that was tried, of the tuning seed.

    Args:
        index: All rows.
        evidence: The runs that are compared; its tier, data and model are looked up.
        arm: Name of the arm.
    """
    if evidence.tier == RESAMPLED:
        return index.rates.of(_run_of_arm(evidence, arm))
    scores = {}
    for run in _grid_runs(evidence, arm, ()):
        found = index.evidence(run, evidence.tier)
        for row in () if found is None else found.rows:
            if row.seed == TUNING_SEED:
                scores[float(dict(run.extra)["lr"])] = row.result.validation_scores[-1]
    return dict(sorted(scores.items()))


def settings_tried(index: RowIndex, found: Mapping[str, Evidence | None]) -> dict[str, int]:
    """Return how many settings of each arm were looked at: rates, and switches of some.

    Args:
        index: All rows.
        found: The rows of each arm that is compared, with the same data and model.
    """
    return {
        arm: len(_rates_and_others(index, evidence, arm)) + _switches(index, evidence, arm)
        for arm, evidence in found.items()
        if evidence is not None
    }


def _rates_and_others(index: RowIndex, evidence: Evidence, arm: str) -> Collection[object]:
    if evidence.tier == RESAMPLED:
        return index.rates.settings_of(_run_of_arm(evidence, arm))
    return tried_rates(index, evidence, arm)


def _run_of_arm(evidence: Evidence, arm: str) -> Run:
    return Run(data=evidence.run.data, model=evidence.run.model, arm=arm)


def _switches(index: RowIndex, evidence: Evidence, arm: str) -> int:
    """Return how many variants were looked at, where the arm is one of them, by whichever tier."""
    if arm not in _SWITCHED:
        return 0
    return sum(
        any(index.evidence(run, tier) is not None for tier in {evidence.tier, "cpu"})
        for run in variants.TABLE.runs()
        if (run.data, run.model) == (evidence.run.data, evidence.run.model) and run.arm != arm
    )


def _name(arm: str) -> str:
    return ARMS[arm].title

"""Rules of a fair comparison, as far as a program can check them, and who breaks which."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from associated_learning.runs.ledger.rows import LedgerRow
from reproduction.paper import rates, variants
from reproduction.paper.arms import ARMS
from reproduction.paper.runs import Run
from reproduction.paper.tiers import RESAMPLED
from reproduction.report.cells import ENOUGH, Evidence, RowIndex

__all__ = ["broken_rules", "settings_tried", "tried_rates"]

FEWEST = 3  # rates, so that one can lie inside
_GRIDS = {"cpu": rates.TABLE, "full": rates.IMAGES}
_SWITCHED = ("contrast",)  # arms whose form was chosen by the study, which counts as tuning

Evidences = Mapping[str, Evidence | None]


def broken_rules(index: RowIndex, found: Evidences) -> tuple[str, ...]:
    """Return what stands against saying who is ahead; nothing where the comparison is fair.

    Every arm needs three seeds or more, all data that its tier declares, an epoch chosen by
    validation data, a training that patience ended (or, without one, whose best epoch is not the
    last allowed one), and the best learning rate of a grid that has it inside. Of AL no more
    settings were tried than of any backpropagation.

    Args:
        index: All rows.
        found: The rows of each arm that is compared, with the same data and model.

    Example:
        >>> from reproduction.report.cells import RowIndex
        >>> broken_rules(RowIndex([]), {"bp-encoders": None})
        ("0 seeds of BP, AL's encoders",)
    """
    present = {arm: evidence for arm, evidence in found.items() if evidence is not None}
    seeds = {arm: 0 if one is None else len(one.rows) for arm, one in found.items()}
    few = tuple(
        f"{n} {'seed' if n == 1 else 'seeds'} of {_name(arm)}"
        for arm, n in seeds.items()
        if n < ENOUGH
    )
    each = (reason for pair in present.items() for reason in _of_evidence(*pair))
    return (*few, *each, *_of_grids(index, present))


def tried_rates(index: RowIndex, evidence: Evidence, arm: str) -> dict[float, float]:
    """Return the validation accuracy of each learning rate that was tried, of the first seed.

    Args:
        index: All rows.
        evidence: The runs that are compared; its tier, data and model are looked up.
        arm: Name of the arm.
    """
    if evidence.tier == RESAMPLED:
        return index.rates.of(_run_of_arm(evidence, arm))
    scores = {}
    for cell in _GRIDS[evidence.tier].cells:
        run = cell.run
        if (run.data, run.model, run.arm) != (evidence.run.data, evidence.run.model, arm):
            continue
        row = index.evidence(run, evidence.tier)
        score = None if row is None else cell.read(row.rows[0])
        if score is not None:
            scores[float(dict(run.extra)["lr"])] = score
    return dict(sorted(scores.items()))


def _of_evidence(arm: str, evidence: Evidence) -> Iterator[str]:
    name, count = _name(arm), len(evidence.rows)
    if not evidence.whole:
        yield f"{name} has a part of the data"
    capped = sum(map(_is_capped, evidence.rows))
    if capped:
        yield f"the cap of epochs, not patience, ended {name} in {capped} of {count} runs"
    if not all(_chosen_by_validation(evidence)):
        yield f"the rows of {name} do not show that validation data chose the epoch"


def _is_capped(row: LedgerRow) -> bool:
    """Return whether more epochs might have had a better one, for all that the row shows.

    Without patience, as where a rate falls to nothing, only if the last epoch is the best.
    """
    patience = row.config.get("patience") or 0
    return row.result.best_epoch + max(patience, 1) > (row.config["epochs"] or 0)


def _chosen_by_validation(evidence: Evidence) -> Iterator[bool]:
    for row in evidence.rows:
        curve = [scores[-1] for scores in row.result.validation_curve]
        best = row.result.best_epoch
        yield bool(curve) and best <= len(curve) and curve[best - 1] == max(curve)


def settings_tried(index: RowIndex, found: Evidences) -> dict[str, int]:
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


def _of_grids(index: RowIndex, present: Mapping[str, Evidence]) -> Iterator[str]:
    tried = {arm: tried_rates(index, evidence, arm) for arm, evidence in present.items()}
    counts = settings_tried(index, present)
    ours = [count for arm, count in counts.items() if ARMS[arm].is_al]
    theirs = [count for arm, count in counts.items() if not ARMS[arm].is_al]
    few = min(map(len, tried.values()), default=FEWEST) < FEWEST
    if few or max(ours, default=0) > min(theirs, default=0):
        told = ", ".join(f"{_name(arm)} {count}" for arm, count in counts.items())
        yield f"settings tried: {told}"
    for arm, scores in tried.items():
        if len(scores) < FEWEST:
            continue
        best = max(scores, key=lambda rate: scores[rate])
        if best in (min(scores), max(scores)):
            yield f"the best rate of {_name(arm)}, {best:g}, is at the edge of its grid"
        if present[arm].rows[0].config["lr"] != best:
            yield f"{_name(arm)} has not its best rate, {best:g}"


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

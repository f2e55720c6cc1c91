"""AL against the best of its backpropagations, data set by data set: intervals and p-values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from associated_learning.errors import CheckpointError, needs_extra
from associated_learning.runs.ledger.answers import unpack_answers
from associated_learning.runs.ledger.rows import LedgerRow
from reproduction.paper import table1, table4
from reproduction.paper.arms import ARMS
from reproduction.paper.rates import compared_arms
from reproduction.paper.runs import Run
from reproduction.paper.tiers import RESAMPLED
from reproduction.report.cells import ENOUGH, Evidence, RowIndex, data_sizes
from reproduction.report.fairness import broken_rules
from reproduction.report.grids import settings_tried
from reproduction.report.statistics import (
    Answers,
    Interval,
    Spread,
    bootstrap,
    cohens_h,
    holm,
    spread,
    welch,
)

__all__ = ["FORMS", "HEADLINE", "LIBRARY", "Comparison", "baselines", "compare_all", "signed_rank"]

SIGNIFICANT = 0.05
HEADLINE, LIBRARY = FORMS = "al", "contrast"  # the paper's, and this library's own


def baselines(model: str, tier: str) -> tuple[str, ...]:
    """Return the backpropagations that AL must beat by a tier: of texts a smaller network too.

    Example:
        >>> baselines("transformer", "resampled")
        ('bp', 'bp-encoders', 'bp-shallow')
    """
    arms = [arm for arm in compared_arms(model) if ARMS[arm].is_of(tier)]
    return tuple(arm for arm in arms if not ARMS[arm].is_al)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One data set and model.

    Attributes:
        data: Name of the data set.
        model: Network family.
        tier: By which protocol all were trained.
        arm: Which form of AL.
        baseline: Which backpropagation: the one that is best on validation data.
        ours: Accuracy of AL in percent.
        theirs: Accuracy of that backpropagation.
        other: Accuracy of the next best one on validation data; None where none has runs.
        by_seed: Accuracy of each seed of AL, and of that backpropagation.
        differences: Each run of AL less each of backpropagation, in points.
        test: Welch's test of the means over seeds; None for a single run.
        corrected: Its p-value after Holm's correction.
        samples: What the test samples leave open, in shares; None without single answers.
        effect: Cohen's h.
        epochs: Best epoch of AL and of BP.
        tried: How many settings were tried of AL and of each backpropagation that is there.
        broken: Which rules of a fair comparison it breaks; see `broken_rules`.
    """

    data: str
    model: str
    tier: str
    arm: str
    baseline: str
    ours: Spread
    theirs: Spread
    other: Spread | None
    by_seed: tuple[Mapping[int, float], Mapping[int, float]]
    differences: tuple[float, ...]
    test: Interval | None
    corrected: float | None
    samples: Interval | None
    effect: float
    epochs: tuple[Spread, Spread]
    tried: tuple[int, ...]
    broken: tuple[str, ...]

    @property
    def difference(self) -> float:
        """AL less BP in percentage points."""
        return self.ours.mean - self.theirs.mean

    @property
    def verdict(self) -> str:
        """One of "ahead", "not told apart", "behind" and "not yet fair".

        A comparison that breaks a rule can be lost, but neither won nor drawn. A lead must survive
        Holm's correction, a loss need not be significant after it.
        """
        if self.difference < 0 and self.test is not None and self.test.p < SIGNIFICANT:
            return "behind"
        if self.broken:
            return "not yet fair"
        significant = self.corrected is not None and self.corrected < SIGNIFICANT
        return "ahead" if significant and self.difference > 0 else "not told apart"

    @property
    def hint(self) -> bool:
        """Whether there are so few seeds that it is no more than a hint."""
        return min(self.ours.n, self.theirs.n) <= ENOUGH


def compare_all(index: RowIndex, tier: str, arm: str = HEADLINE) -> list[Comparison]:
    """Return the comparisons of Tables 1 and 4 that a tier has runs for, in their order.

    What the resampled tier compares with three seeds or more is not compared again by the cpu
    tier, whose subset is the same for all seeds and whose epochs are few.
    """
    pairs = [(data, model) for model in table1.NAMES for data in table1.DATA]
    pairs += [(data, model) for model in ("cnn", "vgg") for data in table4.COLUMNS]
    if tier == "cpu":
        pairs = [pair for pair in pairs if not _is_resampled(index, *pair, arm)]
    found = [one for data, model in pairs if (one := _compare(index, data, model, tier, arm))]
    tested = {id(one): one.test.p for one in found if one.test is not None}
    corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
    return [replace(one, corrected=corrected.get(id(one))) for one in found]


def signed_rank(differences: Sequence[float]) -> float | None:
    """Return the p-value of Wilcoxon's signed-rank test over data sets; None for fewer than 6.

    With fewer it cannot fall below 0.05, whatever the differences.
    """
    if len(differences) < 6:
        return None
    with needs_extra("reproduction", "the signed-rank test"):
        from scipy.stats import wilcoxon

    return float(wilcoxon(differences).pvalue)


def _is_resampled(index: RowIndex, data: str, model: str, arm: str) -> bool:
    found = _evidence(index, data, model, RESAMPLED, arm)
    rivals = (found[arm], found[_best_first(found)[0]])
    return all(one is not None and len(one.rows) >= ENOUGH for one in rivals)


def _evidence(
    index: RowIndex, data: str, model: str, tier: str, arm: str
) -> dict[str, Evidence | None]:
    """Return the rows of a form of AL, and those of backpropagation on data of the same size."""
    rivals = baselines(model, tier)
    found = {
        name: index.evidence(Run(data=data, model=model, arm=name), tier) for name in (arm, *rivals)
    }
    return {arm: found[arm]} | {name: _of_same_data(found[name], found[arm]) for name in rivals}


def _compare(index: RowIndex, data: str, model: str, tier: str, arm: str) -> Comparison | None:
    found = _evidence(index, data, model, tier, arm)
    baseline, next_best, *_ = _best_first(found)
    ours, theirs, rest = found[arm], found[baseline], found[next_best]
    if ours is None or theirs is None:
        return None
    by_seed = _accuracies(ours), _accuracies(theirs)
    one, other = (list(scores.values()) for scores in by_seed)
    return Comparison(
        data=data,
        model=model,
        tier=tier,
        arm=arm,
        baseline=baseline,
        ours=spread(one),
        theirs=spread(other),
        other=None if rest is None else spread(list(_accuracies(rest).values())),
        by_seed=by_seed,
        differences=tuple(a - b for a in one for b in other),
        test=welch(one, other),
        corrected=None,
        samples=_sampled(_answers(ours.rows), _answers(theirs.rows)),
        effect=cohens_h(spread(one).mean / 100, spread(other).mean / 100),
        epochs=(_epochs(ours), _epochs(theirs)),
        tried=tuple(settings_tried(index, found).values()),
        broken=broken_rules(index, found),
    )


def _of_same_data(evidence: Evidence | None, other: Evidence | None) -> Evidence | None:
    if evidence is None or other is None:
        return None
    return evidence if data_sizes(evidence.rows[0]) == data_sizes(other.rows[0]) else None


def _best_first(found: Mapping[str, Evidence | None]) -> list[str]:
    """Return the backpropagations by their mean on validation data, those with most seeds first."""

    def place(name: str) -> tuple[int, float]:
        evidence = found[name]
        if evidence is None:
            return 0, 0.0
        scores = [row.result.validation_scores[-1] for row in evidence.rows]
        return min(len(scores), ENOUGH), spread(scores).mean

    return sorted((name for name in found if not ARMS[name].is_al), key=place, reverse=True)


def _accuracies(evidence: Evidence) -> dict[int, float]:
    return {row.seed: 100 * row.result.test_scores[-1] for row in evidence.rows}


def _sampled(ours: Answers | None, theirs: Answers | None) -> Interval | None:
    return None if ours is None or theirs is None else bootstrap(ours, theirs)


def _epochs(evidence: Evidence) -> Spread:
    return spread([float(row.result.best_epoch) for row in evidence.rows])


def _answers(rows: Sequence[LedgerRow]) -> Answers | None:
    unpacked = []
    for row in rows:
        result = row.result
        if result.answers is None:
            return None
        found = unpack_answers(result.answers, result.test_samples or 0)
        if abs(found.mean() - result.test_scores[-1]) > 1e-4:
            raise CheckpointError(
                f"the row of {row.data}, {row.model}, seed {row.seed} has answers of accuracy "
                f"{found.mean():.4f}, but tells {result.test_scores[-1]:.4f}; it was changed by "
                "hand."
            )
        unpacked.append(found)
    return np.stack(unpacked)

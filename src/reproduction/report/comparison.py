"""AL against fair backpropagation, data set by data set: differences, intervals, p-values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from associated_learning.errors import CheckpointError, needs_extra
from associated_learning.runs.ledger.answers import unpack_answers
from associated_learning.runs.ledger.ledger import LedgerRow
from reproduction.paper import table1, table4
from reproduction.paper.runs import Run
from reproduction.report.cells import Evidence, RowIndex, data_sizes
from reproduction.report.statistics import (
    Bootstrap,
    Spread,
    cohens_h,
    holm,
    paired_bootstrap,
    spread,
)

__all__ = ["Comparison", "compare_all", "signed_rank"]

SIGNIFICANT = 0.05


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One data set and model.

    Attributes:
        data: Name of the data set.
        model: Network family.
        tier: By which protocol both were trained.
        ours: Accuracy of AL in percent.
        theirs: Accuracy of fair BP.
        test: What resampling says of the difference; None without single answers.
        corrected: Its p-value after Holm's correction.
        effect: Cohen's h.
        epochs: Best epoch of AL and of BP.
    """

    data: str
    model: str
    tier: str
    ours: Spread
    theirs: Spread
    test: Bootstrap | None
    corrected: float | None
    effect: float
    epochs: tuple[Spread, Spread]

    @property
    def difference(self) -> float:
        """AL less BP in percentage points."""
        return self.ours.mean - self.theirs.mean

    @property
    def verdict(self) -> str:
        """One of "ahead", "behind", and "level" where the difference may be chance."""
        if self.corrected is None or self.corrected >= SIGNIFICANT:
            return "level"
        return "ahead" if self.difference > 0 else "behind"


def compare_all(index: RowIndex, tier: str) -> list[Comparison]:
    """Return the comparisons of Tables 1 and 4 that a tier has runs for, in their order."""
    pairs = [(data, model) for model in table1.NAMES for data in table1.DATA]
    pairs += [(data, model) for model in ("cnn", "vgg") for data in table4.COLUMNS]
    found = [one for data, model in pairs if (one := _compare(index, data, model, tier))]
    tested = [one for one in found if one.test is not None]
    corrected = dict(
        zip(map(id, tested), holm([one.test.p for one in tested if one.test]), strict=True)
    )
    return [replace(one, corrected=corrected.get(id(one))) for one in found]


def signed_rank(comparisons: Sequence[Comparison]) -> float | None:
    """Return the p-value of Wilcoxon's signed-rank test over the data sets; None for fewer than 6.

    With fewer it cannot fall below 0.05, whatever the differences.
    """
    if len(comparisons) < 6:
        return None
    with needs_extra("reproduction", "the signed-rank test"):
        from scipy.stats import wilcoxon

    return float(wilcoxon([one.difference for one in comparisons]).pvalue)


def _compare(index: RowIndex, data: str, model: str, tier: str) -> Comparison | None:
    al = index.evidence(Run(data=data, model=model, arm="al"), tier)
    bp = index.evidence(Run(data=data, model=model, arm="bp"), tier)
    pairs = _pairs(al, bp)
    if not pairs:
        return None
    ours, theirs = zip(*pairs, strict=True)
    one, other = _accuracy(ours), _accuracy(theirs)
    return Comparison(
        data=data,
        model=model,
        tier=tier,
        ours=one,
        theirs=other,
        test=_tested(ours, theirs),
        corrected=None,
        effect=cohens_h(one.mean / 100, other.mean / 100),
        epochs=(_epochs(ours), _epochs(theirs)),
    )


def _pairs(al: Evidence | None, bp: Evidence | None) -> list[tuple[LedgerRow, LedgerRow]]:
    """Return the rows of both in pairs of one seed, if they rest on the same data."""
    if al is None or bp is None:
        return []
    by_seed = {row.seed: row for row in bp.rows}
    pairs = [(row, by_seed[row.seed]) for row in al.rows if row.seed in by_seed]
    return [(one, other) for one, other in pairs if data_sizes(one) == data_sizes(other)]


def _accuracy(rows: Sequence[LedgerRow]) -> Spread:
    return spread([100 * row.result.test_scores[-1] for row in rows])


def _epochs(rows: Sequence[LedgerRow]) -> Spread:
    return spread([float(row.result.best_epoch) for row in rows])


def _tested(ours: Sequence[LedgerRow], theirs: Sequence[LedgerRow]) -> Bootstrap | None:
    if any(row.result.answers is None for row in (*ours, *theirs)):
        return None
    return paired_bootstrap(_answers(ours), _answers(theirs))


def _answers(rows: Sequence[LedgerRow]) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    unpacked = []
    for row in rows:
        result = row.result
        assert result.answers is not None
        found = unpack_answers(result.answers, result.test_samples or 0)
        if abs(found.mean() - result.test_scores[-1]) > 1e-4:
            raise CheckpointError(
                f"the row of {row.data}, {row.model}, seed {row.seed} has answers of accuracy "
                f"{found.mean():.4f}, but tells {result.test_scores[-1]:.4f}; it was changed by "
                "hand."
            )
        unpacked.append(found)
    return np.stack(unpacked)

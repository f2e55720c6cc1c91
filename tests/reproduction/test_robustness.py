"""Harder tests of the leads: against scipy and Holm's definition, on made-up ledgers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from associated_learning.runs.ledger.rows import LedgerRow
from ledger_rows import made_row
from reproduction.campaign.rates import with_rate
from reproduction.paper.data_paths import DataPaths
from reproduction.paper.rates import COMPARED
from reproduction.paper.runs import Run
from reproduction.report.cells import RowIndex
from reproduction.report.comparison import FORMS, compare_all
from reproduction.report.robustness import Harder, harder_tests, robustness_told
from reproduction.report.standing import make_standing
from reproduction.report.summary import summary

RATE, TIER = 5e-4, "resampled"
CELLS = [("cifar10", "cnn"), ("fashion_mnist", "vgg"), ("cifar10", "vgg")]
Scores = dict[tuple[str, str, str], list[float]]


def made_up(scores: Scores) -> list[LedgerRow]:
    """Return rows of the tuned tier: each arm by one rate and two worse ones, ten seeds."""
    rows = []
    for (data, model, arm), tests in scores.items():
        for rate in (RATE / 2, RATE, RATE * 2):
            for seed, test in enumerate(tests if rate == RATE else tests[:1]):
                seen = 0.5 if rate == RATE else 0.4
                config = with_rate(Run(data=data, model=model, arm=arm), rate).config(
                    TIER, seed, DataPaths()
                )
                row = made_row(
                    experiment="table4", data=data, model=model, method=config.method, variant=arm,
                    seed=seed, config=config.to_json(), epochs=9, tier=TIER, validation=[seen],
                    test=[test], validation_curve=[[seen], *[[0.1]] * 8], train_samples=1_000,
                    train_pool=50_000, test_samples=10_000,
                )  # fmt: skip
                rows.append(row)
    return rows


def drawn(seed: int, ahead: float) -> Scores:
    rng = np.random.default_rng(seed)
    return {
        (*cell, arm): list(0.8 + (arm in FORMS) * ahead + 0.01 * rng.standard_normal(10))
        for cell in CELLS
        for arm in COMPARED
    }


def harder(scores: Scores) -> tuple[Harder, ...]:
    index = RowIndex(made_up(scores))
    return harder_tests([one for arm in FORMS for one in compare_all(index, TIER, arm)])


def holms(p_values: Sequence[float]) -> list[float]:
    """Return each p-value as the least level at which Holm's steps would reject it."""
    ordered = sorted(p_values)
    least = [min(1.0, p * (len(ordered) - i)) for i, p in enumerate(ordered)]
    return [max(least[: ordered.index(p) + 1]) for p in p_values]


def test_p_values_are_scipys_and_corrected_over_both_forms() -> None:
    scores = drawn(0, 0.01)
    found = harder(scores)
    assert len(found) == len(CELLS) * len(FORMS)
    for first, together, alone in ((0, "together", None), (1, "both", "alone")):
        raw = [
            stats.ttest_ind(
                scores[test.one.data, test.one.model, test.one.arm][first:],
                scores[test.one.data, test.one.model, test.one.baseline][first:],
                equal_var=False,
            ).pvalue
            for test in found
        ]
        assert [getattr(test, together) for test in found] == pytest.approx(holms(raw))
        if alone is not None:
            assert [getattr(test, alone) for test in found] == pytest.approx(raw)
    one = found[0]
    ours, theirs = (np.mean(scores[(*CELLS[0], arm)][1:]) for arm in ("al", one.one.baseline))
    assert one.difference == pytest.approx(100 * (ours - theirs))


def test_the_text_counts_what_holds() -> None:
    sure = robustness_told(harder(drawn(1, 0.1)))
    assert "Of six comparisons six are ahead" in sure
    assert sure.count("six of six hold (the weakest: ") == 3
    assert robustness_told(harder(drawn(2, -0.1))) == "- Of six comparisons none is ahead."
    # p = 0.021 with three seeds, 0.051 with two
    ours, theirs = [0.83, 0.84, 0.85], [0.80, 0.81, 0.82]
    few = {(*CELLS[0], arm): ours if arm in FORMS else theirs for arm in COMPARED}
    index = RowIndex(made_up(few))
    standing = make_standing(compare_all(index, TIER, "al"), TIER, "al")
    assert standing is not None
    assert "3 seeds): of one comparison one ahead (CIFAR-10, CNN +3.00 (a hint)), none behind" in (
        summary([standing])
    )
    told = robustness_told(harder(few)).splitlines()
    assert told[0] == "- Of two comparisons two are ahead."
    assert told[1].startswith("- All two corrected together: two of two hold")
    assert "none of two hold (not: CIFAR-10, CNN, AL (Equation 3), p = 0.051; " in told[2]

"""Whether leads hold under harder tests than that of their verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reproduction.campaign.rates import TUNING_SEED
from reproduction.paper.arms import ARMS
from reproduction.report.comparison import SIGNIFICANT, Comparison
from reproduction.report.names import name_of
from reproduction.report.numerals import spelled
from reproduction.report.statistics import holm, probability, spread, welch

__all__ = ["ROBUSTNESS", "Harder", "harder_tests", "robustness_lines", "robustness_told"]

ROBUSTNESS = (
    "data, model", "AL", "AL is", "difference", "p", "p, all corrected",
    f"difference without seed {TUNING_SEED}", "p so", "p so, all corrected",
    "difference to the next best BP",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Harder:
    """A comparison, and p-values of harder tests; None where a test has too few runs.

    Attributes:
        one: The comparison.
        together: Welch's p, corrected by Holm over all comparisons, whatever their form of AL.
        difference: AL less BP in points, without the seed that chose the settings.
        alone: Welch's p of that.
        both: The same, corrected over all comparisons.
    """

    one: Comparison
    together: float | None
    difference: float | None
    alone: float | None
    both: float | None


def harder_tests(comparisons: Sequence[Comparison]) -> tuple[Harder, ...]:
    """Return the comparisons of a tier, of all forms of AL, under harder tests.

    Args:
        comparisons: All that a tier has, in their order.
    """
    rest = [tuple(map(_without_tuning, one.by_seed)) for one in comparisons]
    alone = [_p(ours, theirs) for ours, theirs in rest]
    together = _corrected([None if one.test is None else one.test.p for one in comparisons])
    return tuple(
        Harder(
            one=one,
            together=jointly,
            difference=spread(ours).mean - spread(theirs).mean if ours and theirs else None,
            alone=p,
            both=both,
        )
        for one, jointly, (ours, theirs), p, both in zip(
            comparisons, together, rest, alone, _corrected(alone), strict=True
        )
    )


def _without_tuning(scores: Mapping[int, float]) -> list[float]:
    return [score for seed, score in scores.items() if seed != TUNING_SEED]


def _p(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    found = welch(ours, theirs)
    return None if found is None else found.p


def _corrected(p_values: Sequence[float | None]) -> list[float | None]:
    known = iter(holm([p for p in p_values if p is not None]))
    return [None if p is None else next(known) for p in p_values]


def robustness_lines(tests: Sequence[Harder]) -> tuple[tuple[str, ...], ...]:
    """Return what `ROBUSTNESS` names of each comparison, as texts."""
    return tuple(
        (
            name_of(test.one.data, test.one.model),
            ARMS[test.one.arm].title,
            test.one.verdict,
            _points(test.one.difference),
            _p_text(None if test.one.test is None else test.one.test.p),
            _p_text(test.together),
            _points(test.difference),
            _p_text(test.alone),
            _p_text(test.both),
            _points(None if test.one.other is None else test.one.ours.mean - test.one.other.mean),
        )
        for test in tests
    )


def robustness_told(tests: Sequence[Harder]) -> str:
    """Return how many leads hold under each of the harder tests, as a list in Markdown."""
    leads = [test for test in tests if test.one.verdict == "ahead"]
    if not leads:
        return f"- Of {spelled(len(tests))} comparisons {spelled(0)} is ahead."
    harder = {
        f"All {spelled(len(tests))} corrected together": [test.together for test in leads],
        f"Without seed {TUNING_SEED}, which chose the settings": [test.alone for test in leads],
        "Both at once": [test.both for test in leads],
    }
    verb = "is" if len(leads) == 1 else "are"
    return "\n".join(
        (
            f"- Of {spelled(len(tests))} comparisons {spelled(len(leads))} {verb} ahead.",
            *(f"- {what}: {_holding(leads, p_values)}." for what, p_values in harder.items()),
        )
    )


def _holding(leads: Sequence[Harder], p_values: Sequence[float | None]) -> str:
    """Return how many leads have a small p-value, and which has the largest, or which have none."""
    pairs = list(zip(leads, p_values, strict=True))
    lost = [pair for pair in pairs if not _holds(*pair)]
    named = lost or [max(pairs, key=lambda pair: pair[1] or 0.0)]
    which = "; ".join(
        f"{name_of(test.one.data, test.one.model)}, {ARMS[test.one.arm].title}, p {_small(p)}"
        for test, p in named
    )
    count = f"{spelled(len(leads) - len(lost))} of {spelled(len(leads))}"
    return f"{count} hold ({'not' if lost else 'the weakest'}: {which})"


def _holds(test: Harder, p: float | None) -> bool:
    return p is not None and p < SIGNIFICANT and (test.difference or 0.0) > 0


def _small(p: float | None) -> str:
    found = _p_text(p)
    return found if found.startswith("<") else f"= {found}"


def _points(value: float | None) -> str:
    return "" if value is None else f"{value:+.2f}"


def _p_text(p: float | None) -> str:
    return "none" if p is None else probability(p)

"""How a form of AL stands against the best backpropagation by one tier, ready to print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from associated_learning.runs.networks.families import IMAGE_MODELS, TEXT_MODELS
from reproduction.paper.arms import ARMS
from reproduction.report.charts import differences_chart
from reproduction.report.comparison import Comparison, signed_rank
from reproduction.report.counts import VERDICTS
from reproduction.report.names import name_of
from reproduction.report.statistics import probability

__all__ = ["Standing", "make_standing"]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A form of AL against the best backpropagation by one tier.

    Attributes:
        tier: The tier.
        arm: Name of the form of AL.
        title: What the form of AL is called.
        chart: Image of the differences.
        comparisons: The comparisons.
        lines: Data set and model, AL, BP and which one, difference, interval over seeds and over
            test samples, corrected p, effect size, best epochs, settings tried, n and verdict of
            each comparison, as texts.
        verdicts: How many comparisons have each verdict.
        signed_rank: What Wilcoxon's signed-rank test says of texts and of images, each of six
            comparisons or more; empty where there are fewer.
        broken: Data set and model, and the rules of a fair comparison that it breaks.
    """

    tier: str
    arm: str
    title: str
    chart: str
    comparisons: tuple[Comparison, ...]
    lines: tuple[tuple[str, ...], ...]
    verdicts: tuple[tuple[str, int], ...]
    signed_rank: str
    broken: tuple[tuple[str, tuple[str, ...]], ...]


def make_standing(comparisons: Sequence[Comparison], tier: str, arm: str) -> Standing | None:
    """Return how a form of AL stands by a tier; None where the tier has no comparison of it."""
    if not comparisons:
        return None
    names = [name_of(one.data, one.model) for one in comparisons]
    verdicts = [one.verdict for one in comparisons]
    return Standing(
        tier=tier,
        arm=arm,
        title=ARMS[arm].title,
        chart=differences_chart(comparisons, names),
        comparisons=tuple(comparisons),
        lines=tuple(map(_line, names, comparisons)),
        verdicts=tuple((verdict, verdicts.count(verdict)) for verdict in VERDICTS),
        signed_rank=_signed_ranks(comparisons),
        broken=tuple((name, one.broken) for name, one in zip(names, comparisons, strict=True)),
    )


def _signed_ranks(comparisons: Sequence[Comparison]) -> str:
    told = []
    for kind, models in (("texts", TEXT_MODELS), ("images", IMAGE_MODELS)):
        differences = [one.difference for one in comparisons if one.model in models]
        p = signed_rank(differences)
        told += [] if p is None else [f"{kind} p = {p:.3f} ({len(differences)})"]
    return f"Wilcoxon's signed-rank test: {', '.join(told)}." if told else ""


def _line(name: str, one: Comparison) -> tuple[str, ...]:
    return (
        name,
        one.ours.text(2),
        one.theirs.text(2),
        ARMS[one.baseline].title,
        f"{one.difference:+.2f}",
        "" if one.test is None else f"{one.test.low:+.2f} to {one.test.high:+.2f}",
        ""
        if one.samples is None
        else f"{100 * one.samples.low:+.2f} to {100 * one.samples.high:+.2f}",
        "" if one.corrected is None else probability(one.corrected),
        f"{one.effect:+.3f}",
        f"{one.epochs[0].mean:.1f}; {one.epochs[1].mean:.1f}",
        "; ".join(map(str, one.tried)),
        f"{one.ours.n}; {one.theirs.n}",
        f"{one.verdict} (a hint)" if one.hint and one.verdict != "not yet fair" else one.verdict,
    )

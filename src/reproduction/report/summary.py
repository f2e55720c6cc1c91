"""How AL stands in three lines: the tuned tier's images and texts, then all else."""

from __future__ import annotations

from collections.abc import Sequence

from associated_learning.runs.networks.families import IMAGE_MODELS, TEXT_MODELS
from reproduction.paper.tiers import RESAMPLED
from reproduction.report.comparison import HEADLINE, Comparison
from reproduction.report.counts import VERDICTS
from reproduction.report.names import name_of
from reproduction.report.numerals import spelled
from reproduction.report.standing import Standing

__all__ = ["summary"]

_KINDS = {"Images": IMAGE_MODELS, "Texts": TEXT_MODELS}


def summary(standings: Sequence[Standing]) -> str:
    """Return the standing as a list in Markdown, of all forms of AL together."""
    found = [one for standing in standings for one in standing.comparisons]
    tuned = [one for one in found if one.tier == RESAMPLED]
    lines = [
        _kind(kind, [one for one in tuned if one.model in models])
        for kind, models in _KINDS.items()
    ]
    others = [one for one in found if one.tier != RESAMPLED]
    return "\n".join(f"- {line}" for line in (*lines, _others(others)) if line)


def _kind(kind: str, found: Sequence[Comparison]) -> str:
    if not found:
        return ""
    seeds = [n for one in found for n in (one.ours.n, one.theirs.n)]
    told = " to ".join(str(n) for n in dict.fromkeys((min(seeds), max(seeds))))
    return (
        f"**{kind}**, tier {RESAMPLED} (small subsets, {told} seeds): of "
        f"{spelled(len(found))} {'comparison' if len(found) == 1 else 'comparisons'} "
        f"{_verdicts(found)}."
    )


def _verdicts(found: Sequence[Comparison]) -> str:
    parts = []
    for verdict in VERDICTS:
        those = [one for one in found if one.verdict == verdict]
        if not those and verdict in ("not told apart", "not yet fair"):
            continue
        listed = f" ({'; '.join(map(_told, those))})" if those else ""
        parts.append(f"{spelled(len(those))} {verdict}{listed}")
    return ", ".join(parts)


def _told(one: Comparison) -> str:
    form = "" if one.arm == HEADLINE else f", {one.arm}"
    tier = "" if one.tier == RESAMPLED else f", tier {one.tier}"
    hint = " (a hint)" if one.tier == RESAMPLED and _is_hint(one) else ""
    return f"{name_of(one.data, one.model)}{form}{tier} {one.difference:+.2f}{hint}"


def _is_hint(one: Comparison) -> bool:
    return one.hint and one.verdict != "not yet fair"


def _others(found: Sequence[Comparison]) -> str:
    fair = [one for one in found if one.verdict != "not yet fair"]
    told = "; ".join(
        f"{_told(one)} ({one.verdict}{', a hint' if _is_hint(one) else ''})" for one in fair
    )
    left = len(found) - len(fair)
    return (
        (
            f"**All else**, tiers full (all training data) and cpu (older, three seeds): "
            f"{told or 'none'}; "
            f"{spelled(left)} more break a rule of fairness and claim nothing."
        )
        if found
        else ""
    )

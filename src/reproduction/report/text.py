"""The report in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reproduction.report.content import Content, FilledCell, Section, Standing

__all__ = ["COMPARISON", "INTRODUCTION", "render_markdown", "section_table", "standing_table"]

COMPARISON = (
    "data, model", "AL", "BP, fair", "difference", "95 % interval", "p, corrected", "Cohen's h",
    "best epochs", "n", "AL is",
)  # fmt: skip
INTRODUCTION = (
    "Accuracy on the test data in percent, mean ± standard deviation over seeds, of the epoch that "
    "was best on validation data; the test data are read once. The tier *full* has the paper's "
    "data and networks, with learning rates tuned for both methods alike; *cpu* is a declared "
    "smaller one: fixed subsets of the training data, the same test sets, fewer epochs, the same "
    "early stopping for all arms. The two never share a figure."
)
_SHORT = (0, 1, 2, 3, 4, 8, 9)  # of COMPARISON, for pages that show little


def render_markdown(content: Content) -> str:
    """Return the report as a page of the documentation."""
    counts = content.counts
    parts = [
        "# The paper's tables",
        "<!-- made by `al report`; do not edit -->",
        INTRODUCTION + " How to make them: [Reproduce the paper](reproduce.md).",
        f"Of {counts.cells} cells and curves of the paper, {counts.cpu} are filled by the cpu tier "
        f"and {counts.full} by the full one (three seeds or more; *full* with all of the paper's "
        f"training data). AL is at least level with fair BP on {counts.al_at_least_fair_bp} of "
        f"{counts.comparisons} data sets and models that are compared.",
        *map(_standing, content.standings),
        *map(_section, content.sections),
    ]
    return "\n\n".join(parts) + "\n"


def standing_table(standing: Standing) -> str:
    """Return the comparison of AL with fair BP by one tier, without the finer statistics."""
    return _grid(
        [COMPARISON[i] for i in _SHORT], [[line[i] for i in _SHORT] for line in standing.lines]
    )


def section_table(section: Section, tier: str) -> str:
    """Return a table's figures by one tier, without what they rest on; blank where there are none.

    Args:
        section: A table.
        tier: Name of the tier.
    """
    rows = [
        (heading, *(_figure(place, tier) for place in places)) for heading, places in section.rows
    ]
    return _grid(("", *section.columns), rows)


def _figure(place: FilledCell | None, tier: str) -> str:
    shown = [] if place is None else [figure for name, figure, *_ in place.ours if name == tier]
    return shown[0] if shown else ""


def _standing(standing: Standing) -> str:
    whole = (
        f" Wilcoxon's signed-rank test over all of them: p = {standing.signed_rank}."
        if standing.signed_rank
        else ""
    )
    return (
        f"## AL against fair BP, tier {standing.tier}\n\n"
        f"Ahead {standing.ahead}, level {standing.level}, behind {standing.behind}. Intervals and "
        "p-values: paired bootstrap over seeds and test samples, p-values corrected by Holm."
        f"{whole}\n\n{_grid(COMPARISON, standing.lines)}"
    )


def _section(section: Section) -> str:
    parts = [f"## {section.title}"]
    if section.rows:
        rows = [(heading, *map(_place, places)) for heading, places in section.rows]
        parts.append(_grid(("", *section.columns), rows))
    if section.charts and not section.rows:
        parts.append("The curves stand on the HTML page that `al report` makes.")
    if section.note:
        parts.append(section.note)
    lacking = [f"{count} by the {tier} tier" for tier, count in section.missing if count]
    if lacking:
        parts.append(f"Missing: {', '.join(lacking)} (`al reproduce {section.name}`).")
    return "\n\n".join(parts)


def _place(place: FilledCell | None) -> str:
    if place is None:
        return ""
    ours = [f"**{figure}** ({tier}: {rests})" for tier, figure, rests, _ in place.ours]
    paper = [f"paper {place.paper}"] if place.paper else []
    return "<br>".join([*(ours or ["not yet"]), *paper])


def _grid(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)

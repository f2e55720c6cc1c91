"""The report in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from string import ascii_lowercase

from reproduction.report.content import Content, FilledCell, Section
from reproduction.report.costs import COSTS
from reproduction.report.robustness import ROBUSTNESS
from reproduction.report.standing import Standing
from reproduction.report.tuned import TUNED, TUNING

__all__ = [
    "COMPARISON",
    "INTRODUCTION",
    "STATISTICS",
    "TIERS",
    "choice_table",
    "cost_table",
    "counted",
    "render_markdown",
    "robustness_table",
    "section_table",
    "standing_table",
    "tuned_table",
    "verdict_second",
]

COMPARISON = (
    "data, model", "AL", "BP", "which BP", "difference", "95 %, seeds", "95 %, samples",
    "p, corrected", "Cohen's h", "best epochs", "settings tried", "n", "AL is",
)  # fmt: skip
INTRODUCTION = (
    "Accuracy on the test data in percent, mean ± standard deviation over seeds, of the epoch that "
    "was best on validation data; the test data are read once. Tiers never share a figure:"
)
TIERS = {  # name of a tier, what it is
    "full": "the paper's data and networks, with learning rates tuned for both methods alike",
    "cpu": "a declared smaller one: fixed subsets of the training data, the same test sets, fewer "
    "epochs, the same early stopping for all arms",
    "resampled": "each seed draws a subset of its own, each arm has the rate of its own grid that "
    "is best on seed 0's validation data, patience or 100 epochs end a run",
}
STATISTICS = (
    "The best BP, of those with three seeds, has the highest validation accuracy: the paper's "
    "network, AL's encoders under a linear head, or, of texts by the tier resampled, the same with "
    "one layer above the embedding in the place of two. Intervals over seeds and p-values: Welch's "
    "test of the means, no seeds paired, p-values corrected by Holm; a lead must survive that, "
    "a loss need not. Intervals over test samples: bootstrap, samples in common, seeds drawn for "
    "each method."
)
_LISTED = {  # verdicts, and what they are called where their comparisons are listed
    "ahead": "Ahead",
    "not told apart": "Not told apart by so many seeds, which is not equal",
    "behind": "Behind",
}
_SHORT = (0, 12, 1, 2, 3, 4, 5, 11)  # of COMPARISON, for pages that show little


def render_markdown(content: Content) -> str:
    """Return the report as a page of the documentation."""
    parts = [
        "# The paper's tables",
        "<!-- made by `al report`; do not edit -->",
        INTRODUCTION,
        "\n".join(f"- **{name}**: {what}." for name, what in TIERS.items()),
        "How to make them: [Reproduce the paper](reproduce.md).",
        "## In short",
        counted(content),
        f"**How AL and BP are compared.** {STATISTICS}",
        *map(_standing, content.standings),
        *([f"## {TUNED}\n\n{tuned_table(content)}"] if content.tuned else []),
        *map(_section, content.sections),
    ]
    return "\n\n".join(parts) + "\n"


def standing_table(standing: Standing) -> str:
    """Return the comparison of AL with the best BP by one tier, without finer statistics."""
    return _grid(
        [COMPARISON[i] for i in _SHORT], [[line[i] for i in _SHORT] for line in standing.lines]
    )


def verdict_second(line: Sequence[str]) -> tuple[str, ...]:
    """Return the cells of a comparison with the verdict beside its name, where it is seen first."""
    return (line[0], line[-1], *line[1:-1])


def choice_table(content: Content) -> str:
    """Return which variant of AL validation data choose, and what test then says."""
    headings = ("data, model", "chosen", "validation", "its test", "test of the default")
    return _grid(headings, content.choices)


def tuned_table(content: Content) -> str:
    """Return what the tuned tier tried of each arm, and what it chose."""
    return _grid(TUNING, content.tuned)


def robustness_table(content: Content) -> str:
    """Return the harder tests of the tuned tier's comparisons, and what they come to."""
    return f"{_grid(ROBUSTNESS, content.robustness)}\n\n{content.robust}"


def cost_table(content: Content) -> str:
    """Return what training took by the tuned tier."""
    return _grid(COSTS, content.costs)


def section_table(section: Section, tier: str) -> str:
    """Return a table's figures by one tier, without their evidence; blank where there are none."""
    rows = [
        (heading, *(_figure(place, tier) for place in places)) for heading, places in section.rows
    ]
    return _grid(("", *section.columns), rows)


def _figure(place: FilledCell | None, tier: str) -> str:
    for name, figure, rests, complete in () if place is None else place.ours:
        if name == tier:
            return figure if complete else f"{figure} ({rests.partition(';')[0]})"
    return ""


def counted(content: Content) -> str:
    """Return how far the reproduction is and how AL stands: all counts, in words.

    README, the results and the report share this text.
    """
    counts, forms = content.counts, dict.fromkeys(one.title for one in content.standings)
    unread = f", {counts.unread} rows of retired settings fill nothing" if counts.unread else ""
    lines = [
        f"Of {counts.printed} values that the paper prints, {counts.cpu} are filled by the cpu "
        f"tier and {counts.full} by the full one (three seeds or more; *full* with all of the "
        f"paper's training data{unread}).",
        *(_form(content, title) for title in forms),
        *(f"{told}: {_places_of(content, verdict)}." for verdict, told in _LISTED.items()),
        f"{counts.unfair} comparisons break a rule of fairness and claim no lead "
        "(`al report --check` names them); three seeds are a hint.",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _form(content: Content, title: str) -> str:
    tiers = "; ".join(
        f"tier {one.tier}: {_verdicts(one)}" for one in content.standings if one.title == title
    )
    return f"{title} against the best of its BPs, {tiers}."


def _places_of(content: Content, verdict: str) -> str:
    # name, difference and numbers of seeds stand at these places of a line
    name, difference, seeds = 0, COMPARISON.index("difference"), COMPARISON.index("n")
    places = (
        f"{line[name]} {line[difference]} (tier {one.tier}, {one.title}, n = {line[seeds]})"
        for one in content.standings
        for line in one.lines
        if line[-1].startswith(verdict)
    )
    return "; ".join(places) or "nowhere"


def _verdicts(standing: Standing) -> str:
    return ", ".join(f"{verdict} {count}" for verdict, count in standing.verdicts if count)


def _standing(standing: Standing) -> str:
    broken = "\n".join(f"- {name}: {'; '.join(why)}." for name, why in standing.broken if why)
    parts = [
        f"## {standing.title} against the best BP, tier {standing.tier}",
        f"{_verdicts(standing).capitalize()}. {standing.signed_rank}".rstrip(),
        _grid(verdict_second(COMPARISON), [verdict_second(line) for line in standing.lines]),
        *(["Rules that are broken:", broken] if broken else []),
    ]
    return "\n\n".join(parts)


def _section(section: Section) -> str:
    parts = [f"## {section.title}"]
    letters: dict[str, str] = {}  # of what figures rest on
    if section.rows:
        rows = [
            (heading, *(_place(place, letters) for place in places))
            for heading, places in section.rows
        ]
        parts.append(_grid(("", *section.columns), rows))
        parts += (
            ["Data: " + " ".join(f"**{b}** {a}." for a, b in letters.items())] if letters else []
        )
    parts += [
        f"![{section.title}, tier {tier}](images/{section.name}-{tier}.svg)"
        for tier, _ in section.charts
    ]
    if section.note:
        parts.append(section.note)
    lacking = [f"{count} by the {tier} tier" for tier, count in section.missing if count]
    if lacking:
        parts.append(f"Missing: {', '.join(lacking)} (`al reproduce {section.name}`).")
    return "\n\n".join(parts)


def _place(place: FilledCell | None, letters: dict[str, str]) -> str:
    """Return a cell; of the data of its figures only the letter, which stands below the table."""
    if place is None:
        return ""
    ours = []
    for tier, figure, rests, _ in place.ours:
        seeds, _, data = rests.partition("; ")
        letter = letters.setdefault(data, _letter(len(letters)))
        ours.append(f"**{figure}** ({tier}, {seeds}; {letter})")
    paper = [f"paper {place.paper}"] if place.paper else []
    return "<br>".join([*(ours or ["not yet"]), *paper])


def _letter(number: int) -> str:
    """Return a, b, ..., z, aa, ab, ..."""
    before, last = divmod(number, len(ascii_lowercase))
    return (_letter(before - 1) if before else "") + ascii_lowercase[last]


def _grid(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)

"""The tables of the ledger inside the pages that people write: filled between two marks."""

from __future__ import annotations

import re
from collections.abc import Mapping

from associated_learning.errors import InputError
from reproduction.paper.arms import ARMS
from reproduction.report.cells import REPORTED
from reproduction.report.comparison import FORMS
from reproduction.report.content import Content
from reproduction.report.summary import summary
from reproduction.report.text import (
    choice_table,
    cost_table,
    counted,
    robustness_table,
    section_table,
    standing_table,
    tuned_table,
)

__all__ = ["PAGES", "parts_of", "refreshed"]

_NONE = "No runs yet."
PAGES = ("README.md", "docs/results.md", "docs/study.md")
_MARKED = re.compile(r"<!-- ledger: (.+?) -->\n.*?\n<!-- ledger ends -->", re.DOTALL)


def parts_of(content: Content) -> Mapping[str, str]:
    """Return what may stand in a page, by the name in its mark."""
    standings = {f"{one.title}, {one.tier}": standing_table(one) for one in content.standings}
    return {
        "counts": counted(content),
        "choice": choice_table(content),
        "summary": summary(content.standings) or _NONE,
        "tuned": tuned_table(content) if content.tuned else _NONE,
        "robustness": robustness_table(content) if content.robustness else _NONE,
        "costs": cost_table(content) if content.costs else _NONE,
        **{f"{ARMS[arm].title}, {tier}": _NONE for arm in FORMS for tier in REPORTED},
        **standings,
        **{name: section_table(content.section(name), "cpu") for name in ("variants", "field")},
    }


def refreshed(page: str, parts: Mapping[str, str]) -> str:
    """Return a page whose marked parts are those of the ledger.

    Args:
        page: Its text, with ``<!-- ledger: NAME -->`` and ``<!-- ledger ends -->`` around a part.
        parts: See `parts_of`.

    Raises:
        InputError: A mark names no part.

    Example:
        >>> page = "<!-- ledger: a -->{0}old{0}<!-- ledger ends -->".format(chr(10))
        >>> refreshed(page, {"a": "new"}).splitlines()[1]
        'new'
    """

    def filled(mark: re.Match[str]) -> str:
        name = mark[1]
        if name not in parts:
            raise InputError(
                f"a page has the mark 'ledger: {name}'; expected one of {', '.join(parts)}."
            )
        return f"<!-- ledger: {name} -->\n{parts[name]}\n<!-- ledger ends -->"

    return _MARKED.sub(filled, page)

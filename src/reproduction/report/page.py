"""The report as one page of HTML that needs no other file."""

from __future__ import annotations

from associated_learning.errors import needs_extra
from reproduction.report.content import Content
from reproduction.report.text import COMPARISON, INTRODUCTION, STATISTICS, TIERS, verdict_second
from reproduction.report.tuned import TUNED, TUNING

__all__ = ["render_html"]


def render_html(content: Content) -> str:
    """Return the page; tables first to last, charts inside of it."""
    with needs_extra("reproduction", "the page"):
        from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("reproduction.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("report.html.j2")
    return template.render(
        content=content,
        headings=verdict_second(COMPARISON),
        introduction=INTRODUCTION,
        tiers=TIERS,
        verdict_second=verdict_second,
        statistics=STATISTICS,
        tuned_title=TUNED,
        tuning=TUNING,
    )

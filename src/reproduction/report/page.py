"""The report as one page of HTML that needs no other file."""

from __future__ import annotations

from associated_learning.errors import needs_extra
from reproduction.report.content import Content
from reproduction.report.text import COMPARISON, INTRODUCTION, STATISTICS
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
    introduction = INTRODUCTION.replace("*", "")
    return template.render(
        content=content,
        headings=COMPARISON,
        introduction=introduction,
        statistics=STATISTICS,
        tuned_title=TUNED,
        tuning=TUNING,
    )

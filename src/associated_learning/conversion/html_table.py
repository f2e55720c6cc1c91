"""Tables of values that show themselves: as text in a terminal, as HTML in a notebook."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from html import escape

__all__ = ["html_table", "text_table"]


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table with aligned columns.

    Example:
        >>> print(text_table(("layer", "s"), [("1", "2 x 8"), ("2", "2 x 16")]))
        layer  s
        -----  ------
        1      2 x 8
        2      2 x 16
    """
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def html_table(
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    notes: Sequence[str] = (),
    *,
    marked: Collection[int] = (),
) -> str:
    """Return a table with a title, notes below, and the ``marked`` rows (from 0) in bold.

    Example:
        >>> html_table("two < three", ("a",), [("1",)])
        '<table><caption>two &lt; three</caption><thead><tr><th>a</th></tr></thead><tbody>...'
    """
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join(_html_row(cells, bold=i in marked) for i, cells in enumerate(rows))
    below = "".join(f"<p>{escape(note)}</p>" for note in notes)
    return (
        f"<table><caption>{escape(title)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>{below}"
    )


def _html_row(cells: Sequence[str], *, bold: bool) -> str:
    tag = "th" if bold else "td"
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

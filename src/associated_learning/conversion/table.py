"""Plain text tables, for values that print themselves."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["text_table"]


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

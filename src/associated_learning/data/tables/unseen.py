"""Categories that no training row has: which rows hold them, and how that is said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from associated_learning.data.tables.table_preprocessor import Rows, TablePreprocessor

__all__ = ["Unseen", "told_unseen", "unseen_categories"]

_SHOWN = 5
Unseen = Sequence[Sequence[tuple[str, str]]]


def unseen_categories(preprocessor: TablePreprocessor, rows: Rows) -> Unseen:
    """Return of each row the columns and values that the training split did not have.

    Example:
        >>> fitted = TablePreprocessor.fit([["red", 1.0], ["blue", 2.0]], columns=("colour", "x"))
        >>> unseen_categories(fitted, [["teal", 3.0], ["red", 4.0]])
        [[('colour', 'teal')], []]
    """
    found: list[list[tuple[str, str]]] = [[] for _ in range(len(rows))]
    for name, encoding, column in preprocessor.categorical(rows):
        known = {*encoding.categories, None}
        for row, category in enumerate(encoding.names(column, name)):
            if category not in known:
                found[row].append((name, str(category)))
    return found


def told_unseen(found: Unseen, where: str = "") -> list[str]:
    """Return a line for each column that holds categories which training did not see.

    Args:
        found: What `unseen_categories` found.
        where: What the rows are of, such as " of the test split".

    Example:
        >>> told_unseen([[("colour", "teal")], [], [("colour", "teal")]])
        ["2 rows hold a 'colour' that training did not see: 'teal'; they count as none"]
    """
    by_column: dict[str, Counter[str]] = {}
    for row in found:
        for name, value in row:
            by_column.setdefault(name, Counter())[value] += 1
    lines = []
    for name, values in by_column.items():
        rows, shown = values.total(), [repr(value) for value, _ in values.most_common(_SHOWN)]
        some = ", ".join(shown) + (", ..." if len(values) > _SHOWN else "")
        said = f"1 row{where} holds" if rows == 1 else f"{rows} rows{where} hold"
        count = "it counts" if rows == 1 else "they count"
        lines.append(f"{said} a {name!r} that training did not see: {some}; {count} as none")
    return lines

"""All tables and figures by name."""

from __future__ import annotations

from associated_learning.errors import InputError, nearest
from reproduction.paper import (
    field,
    figure3,
    figure6,
    rates,
    table1,
    table2,
    table3,
    table4,
    table5,
    table6,
    table9,
    table10,
    variants,
)
from reproduction.paper.cell import Figure, Table

__all__ = ["EXHIBITS", "PAPER_EXHIBITS", "TUNING", "Exhibit", "find_exhibit"]

Exhibit = Table | Figure

EXHIBITS: dict[str, Exhibit] = {
    exhibit.name: exhibit
    for exhibit in (
        table1.TABLE,
        table2.TABLE,
        table3.TABLE,
        table4.TABLE,
        table5.TABLE,
        table6.TABLE,
        table9.TABLE,
        table10.TABLE,
        figure3.FIGURE,
        figure6.FIGURE,
        field.TABLE,
        variants.TABLE,
        rates.TABLE,
        rates.IMAGES,
    )
}
TUNING = (rates.TABLE.name, rates.IMAGES.name)  # what the other runs' learning rates came from
# the others are ours
PAPER_EXHIBITS = tuple(name for name in EXHIBITS if name.startswith(("table", "figure")))


def find_exhibit(name: str) -> Exhibit:
    """Return the table or figure of that name.

    Raises:
        InputError: There is none.

    Example:
        >>> find_exhibit("table6").title
        'Table 6: ablations on AG News, test accuracy in percent and best epoch'
    """
    if name not in EXHIBITS:
        raise InputError(
            f"{name} came; expected one of {', '.join(EXHIBITS)}.{nearest(name, EXHIBITS)}"
        )
    return EXHIBITS[name]

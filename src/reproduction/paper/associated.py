"""The cells of Tables 9 and 10: associated losses layer by layer."""

from __future__ import annotations

from collections.abc import Mapping

from reproduction.paper.cell import Cell, Printed, associated_loss
from reproduction.paper.runs import Run

__all__ = ["associated_cells"]

_DATA = {"dbpedia_14": "DBpedia", "ag_news": "AGNews"}


def associated_cells(model: str, paper: Mapping[str, tuple[float, float]]) -> tuple[Cell, ...]:
    """Return the cells of a model.

    Args:
        model: Network family.
        paper: For each layer, from the input up, what is printed for DBpedia and AG News.
    """
    return tuple(
        Cell(
            row=layer,
            column=title,
            run=Run(data=data, model=model, arm="al"),
            read=associated_loss(number),
            paper=Printed(mean=printed),
            digits=None,
        )
        for number, (layer, row) in enumerate(paper.items(), start=1)
        for (data, title), printed in zip(_DATA.items(), row, strict=True)
    )

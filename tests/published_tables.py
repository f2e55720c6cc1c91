"""Rows of the ledger as tables of the docs, so that no figure there is typed by hand."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from associated_learning.runs.ledger.rows import LedgerRow
from associated_learning.runs.printable import markdown

__all__ = ["depths_table", "growth_table", "scores_table", "variants_table"]


def scores_table(rows: Sequence[LedgerRow]) -> str:
    """Return a table of test accuracies in percent, at every depth, one run a line.

    Args:
        rows: The runs, in the order to show; one seed each.
    """
    depths = max((len(row.result.test_scores) for row in rows), default=1)
    exits = [f"depth {depth}" for depth in range(1, depths)]
    heading = ["data", "model", "method", *exits, "full", "validation", "best epoch"]
    lines = [heading, ["---"] * 3 + ["---:"] * (depths + 2)]
    lines += [_cells(row, depths) for row in rows]
    return _table(lines)


def variants_table(rows: Sequence[LedgerRow], parameters: Mapping[str, int]) -> str:
    """Return a table of test accuracies in percent, mean and standard deviation over seeds.

    Args:
        rows: The runs, of two seeds or more a variant.
        parameters: How many parameters the network of each variant trains, in the order to show.
    """
    depths = len(rows[0].result.test_scores)
    heading = ["variant", "parameters", *[f"depth {depth}" for depth in range(1, depths)], "full"]
    lines = [heading, ["---"] + ["---:"] * (depths + 1)]
    for variant, count in parameters.items():
        seeds = [row.result.test_scores for row in rows if row.variant == variant]
        lines.append([markdown(variant), f"{count:,}", *map(_spread, zip(*seeds, strict=True))])
    return _table(lines)


def depths_table(rows: Sequence[LedgerRow], variants: Sequence[str]) -> str:
    """Return a table of test accuracies in percent at every depth, mean and deviation over seeds.

    Args:
        rows: The runs, of two seeds or more for each of the data sets and variants.
        variants: The variants in the order to show; they may differ in depth, and miss data sets.
    """
    depths = max(len(row.result.test_scores) for row in rows)
    heading = ["data", "variant", "n", *[f"depth {depth}" for depth in range(1, depths)], "full"]
    lines = [heading, ["---"] * 2 + ["---:"] * (depths + 1)]
    for data in dict.fromkeys(row.data for row in rows):
        for variant in variants:
            of_variant = [row for row in rows if (row.data, row.variant) == (data, variant)]
            if not of_variant:
                continue
            seeds = [row.result.test_scores for row in of_variant]
            *inner, full = map(_spread, zip(*seeds, strict=True))
            blank = [""] * (depths - 1 - len(inner))
            lines.append([markdown(data), markdown(variant), str(len(seeds)), *inner, *blank, full])
    return _table(lines)


def growth_table(rows: Sequence[LedgerRow]) -> str:
    """Return a table of networks that grew beside those trained at once, mean over seeds.

    Args:
        rows: The runs, of two seeds or more for each of the data sets and variants.
    """
    lines = [["data, model", "trained", "depth kept", "test, %", "layer epochs"]]
    lines.append(["---"] * 2 + ["---:"] * 3)
    for data, model, variant in dict.fromkeys((row.data, row.model, row.variant) for row in rows):
        seeds = [r for r in rows if (r.data, r.model, r.variant) == (data, model, variant)]
        kept = ", ".join(str(len(row.result.test_scores)) for row in seeds)
        cost = statistics.mean(sum(map(len, row.result.validation_curve)) for row in seeds)
        test = _spread([row.result.test_scores[-1] for row in seeds])
        named = [markdown(f"{data}, {model}"), markdown(variant.replace("-", " "))]
        lines.append([*named, kept, test, f"{cost:.0f}"])
    return _table(lines)


def _table(lines: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _spread(scores: Sequence[float]) -> str:
    mean, deviation = statistics.mean(scores), statistics.stdev(scores)
    return f"{100 * mean:.2f} ± {100 * deviation:.2f}"


def _cells(row: LedgerRow, depths: int) -> list[str]:
    inner = [f"{100 * score:.2f}" for score in row.result.test_scores[:-1]]
    return [
        markdown(row.data),
        markdown(row.model),
        row.method.upper(),
        *inner,
        *[""] * (depths - 1 - len(inner)),
        f"{100 * row.result.test_scores[-1]:.2f}",
        f"{100 * row.result.validation_scores[-1]:.2f}",
        f"{row.result.best_epoch} of {row.result.epochs}",
    ]

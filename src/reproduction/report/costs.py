"""What training took by the tuned tier: the seconds of its rows, of AL beside backpropagation."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from reproduction.paper.arms import ARMS
from reproduction.paper.runs import Run
from reproduction.report.cells import Evidence, RowIndex
from reproduction.report.comparison import Comparison
from reproduction.report.names import name_of

__all__ = ["COSTS", "cost_lines"]

_BASE = "bp-encoders"
COSTS = (
    "data, model", "arm", "seconds of a run", "times", "an epoch, times", "best epoch", "n",
    "hardware",
)  # fmt: skip


def cost_lines(
    index: RowIndex, comparisons: Sequence[Comparison], tier: str
) -> tuple[tuple[str, ...], ...]:
    """Return what `COSTS` names of AL and of backpropagation on the same encoders, as texts.

    Seconds are those of training alone, without validation: of a run the mean over seeds, of an
    epoch the median.

    Args:
        index: The rows.
        comparisons: Those of the tier.
        tier: Its name.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for one in comparisons:
        found.setdefault((one.data, one.model), []).append(one.arm)
    lines = []
    for (data, model), arms in found.items():
        base = index.evidence(Run(data=data, model=model, arm=_BASE), tier)
        for arm in (_BASE, *arms):
            evidence = index.evidence(Run(data=data, model=model, arm=arm), tier)
            if base is not None and evidence is not None:
                lines.append(_line(evidence, base, name_of(data, model), ARMS[arm].title))
    return tuple(lines)


def _line(evidence: Evidence, base: Evidence, name: str, arm: str) -> tuple[str, ...]:
    epochs = [row.result.best_epoch for row in evidence.rows]
    return (
        name,
        arm,
        f"{_of_run(evidence):.1f}",
        f"{_of_run(evidence) / _of_run(base):.2f}",
        f"{_of_epoch(evidence) / _of_epoch(base):.2f}",
        f"{statistics.fmean(epochs):.1f}",
        str(len(evidence.rows)),
        "; ".join(sorted({row.result.hardware for row in evidence.rows})),
    )


def _of_run(evidence: Evidence) -> float:
    return statistics.fmean(row.result.seconds for row in evidence.rows)


def _of_epoch(evidence: Evidence) -> float:
    return statistics.median(row.result.seconds / row.result.epochs for row in evidence.rows)

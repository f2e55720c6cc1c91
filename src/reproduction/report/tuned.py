"""What the tuned tier tried and chose, arm by arm: validation accuracies of one seed."""

from __future__ import annotations

from collections.abc import Iterator

from reproduction.paper import table1, table4
from reproduction.paper.arms import ARMS
from reproduction.paper.rates import compared_arms
from reproduction.paper.runs import Run
from reproduction.paper.tiers import RESAMPLED
from reproduction.report.cells import RowIndex
from reproduction.report.names import name_of
from reproduction.report.statistics import spread

__all__ = ["TUNED", "TUNING", "tuned_lines"]

TUNED = "Settings of the tier resampled, by validation accuracy of seed 0"
TUNING = (
    "data, model", "arm", "learning rates tried", "other settings", "chosen", "validation, %",
    "test, %", "n",
)  # fmt: skip


def tuned_lines(index: RowIndex) -> tuple[tuple[str, ...], ...]:
    """Return what `TUNING` names of every arm that the tuned tier has rows of, as texts."""
    cells = [(data, model) for model in table1.NAMES for data in table1.DATA]
    cells += [(data, model) for model in ("cnn", "vgg") for data in table4.COLUMNS]
    runs = (
        Run(data=data, model=model, arm=arm)
        for data, model in cells
        for arm in compared_arms(model)
    )
    return tuple(line for run in runs for line in _lines(index, run))


def _lines(index: RowIndex, run: Run) -> Iterator[tuple[str, ...]]:
    best, evidence = index.rates.tuned(run), index.evidence(run, RESAMPLED)
    if best is None or evidence is None:
        return
    settings, rates = index.rates.settings_of(run), index.rates.of(run)
    test = spread([100 * row.result.test_scores[-1] for row in evidence.rows])
    yield (
        name_of(run.data, run.model),
        ARMS[run.arm].title,
        f"{len(rates)}, from {min(rates):g} to {max(rates):g}",
        str(len(settings) - len(rates)),
        ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in best.extra),
        f"{100 * settings[best]:.2f}",
        test.text(2),
        str(test.n),
    )

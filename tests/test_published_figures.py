"""Every accuracy that README and docs show comes from a row of the ledger."""

from __future__ import annotations

from pathlib import Path

import pytest

from associated_learning.experiments.config import RunConfig
from associated_learning.experiments.ledger import LedgerRow, read_rows
from associated_learning.experiments.markdown import scores_table

ROOT = Path(__file__).parents[1]


def first_runs() -> list[LedgerRow]:
    rows = [r for r in read_rows(ROOT / "results" / "ledger.jsonl") if r.experiment == "first-runs"]
    return sorted(rows, key=lambda row: (row.data, row.model, row.method))


@pytest.mark.parametrize("page", ["README.md", "docs/results.md"])
def test_the_table_of_first_runs_is_the_ledgers(page: str) -> None:
    assert scores_table(first_runs()) in (ROOT / page).read_text(encoding="utf-8")


def test_every_row_says_how_to_make_it_again() -> None:
    for row in read_rows(ROOT / "results" / "ledger.jsonl"):
        assert len(row.commit) == 40, f"{row.data} {row.method}: commit {row.commit}"
        assert RunConfig(**row.config).seed == row.seed
        assert "/" not in str(row.config["data_root"])
        assert len(row.validation) == len(row.test)


def test_a_table_shows_each_score_under_its_depth() -> None:
    row = LedgerRow(
        experiment="x", data="d", model="m", method="al", variant="default", seed=0, commit="c",
        config={}, hardware="h", torch="t", epochs=4, best_epoch=2, validation=[0.5, 0.75],
        test=[0.25, 0.5], seconds=120.0,
    )  # fmt: skip
    bp = LedgerRow(**{**vars(row), "method": "bp", "test": [0.5], "validation": [0.75]})
    assert scores_table([row, bp]).splitlines() == [
        "| data | model | method | depth 1 | full | validation | best epoch |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: |",
        "| d | m | AL | 25.00 | 50.00 | 75.00 | 2 of 4 |",
        "| d | m | BP |  | 50.00 | 75.00 | 2 of 4 |",
    ]

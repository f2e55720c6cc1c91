"""The benchmark of first runs: what its last line says, and that its sets are as it tells."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks" / "first_run"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    for name in ("main", "sets"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import main as module  # type: ignore[import-not-found]

    assert Path(module.__file__).parent == FOLDER
    return module


def test_the_last_line_counts_sets_and_points(benchmark: Any) -> None:
    found = {
        "ahead": {"al": [91.0, 93.0], "bp": [90.0, 90.0]},
        "behind": {"al": [70.0, 70.0], "bp": [71.0, 72.0]},
    }
    assert benchmark._summary(found, {"ahead": 50.0, "behind": 70.0}, 2) == {
        "sets": 2,
        "above_majority": 0.5,
        "behind_bp": {"mean": -0.25, "worst": 1.5},
        "seeds": 2,
        "accuracies": found,
    }


def test_half_of_the_sets_tune_and_half_judge(benchmark: Any, tmp_path: Path) -> None:
    assert len(benchmark.SETS) == 2 * len(benchmark.TUNED) >= 12
    for name, rows in (("iris", 90), ("wine", 106), ("shells", 600), ("imbalanced", 1800)):
        benchmark.SETS[name].write(tmp_path, None)
        with (tmp_path / "train.csv").open() as file:
            assert len(list(csv.DictReader(file))) == rows, name

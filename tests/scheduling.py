"""How `pytest -n` divides the tests among its workers: by file, those that take longest first.

So one worker alone makes a file's fixtures and imports what it needs. (xdist's own groups do
nothing under pytest 9.2: https://github.com/pytest-dev/pytest-xdist/issues/1386.)
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from xdist.scheduler import LoadScopeScheduling

__all__ = ["FIRST", "TOGETHER", "ByFile", "longest_first"]

# One worker runs them in turn: they measure time, or import what takes longest to import.
TOGETHER = {
    "timing": (
        "tests/pipeline/test_hangs.py",
        "tests/pipeline/test_failure_detector.py",
        "tests/pipeline/test_processes.py",
        "tests/pipeline/test_partition.py",
        "tests/pipeline/test_simulation.py",
        "tests/pipeline/test_torchrun.py",
        "tests/pipeline/test_transfers.py",
        "tests/training/test_slopes.py",
    ),
    "export": ("tests/inference/test_export.py", "tests/runs/test_export_runner.py"),
}
_GROUPS = {file: group for group, files in TOGETHER.items() for file in files}

# The others follow in their own order, and fill what time is left on all workers.
FIRST = (
    *TOGETHER["timing"],
    "tests/pipeline/test_executor_laws.py",
    *TOGETHER["export"],
    "tests/test_docs.py",
    "tests/runs/test_hub_runs.py",
    "tests/runs/test_multilabel_runs.py",
    "tests/cli/test_cli.py",
)


class ByFile(LoadScopeScheduling):
    """Hands whole files to the workers."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return _GROUPS.get(file, file)


def longest_first(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Return tests in the order in which workers get them."""
    ranks = {file: rank for rank, file in enumerate(FIRST)}
    return sorted(items, key=lambda item: ranks.get(item.nodeid.partition("::")[0], len(ranks)))

"""What `scheduling` says of the tests is true of the files that are there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from scheduling import FIRST, TOGETHER, ByFile, longest_first

ROOT = Path(__file__).parents[1]


def test_files_that_are_named_exist() -> None:
    named = [*FIRST, *(file for files in TOGETHER.values() for file in files)]
    assert all((ROOT / file).is_file() for file in named)


def test_a_group_and_any_other_file_go_to_one_worker_each() -> None:
    scope = ByFile._split_scope
    for group, files in TOGETHER.items():
        assert {scope(None, f"{file}::test[a::b]") for file in files} == {group}  # type: ignore[arg-type]
    assert scope(None, "tests/test_docs.py::test_a") == "tests/test_docs.py"  # type: ignore[arg-type]


def test_the_longest_come_first_and_the_others_as_they_were() -> None:
    files = ["tests/a.py", FIRST[-1], "tests/b.py", FIRST[0]]
    items: Any = [SimpleNamespace(nodeid=f"{file}::test") for file in files]
    ordered = [item.nodeid.partition("::")[0] for item in longest_first(items)]
    assert ordered == [FIRST[0], FIRST[-1], "tests/a.py", "tests/b.py"]

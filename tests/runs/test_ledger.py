"""The ledger loses no row, doubles none, and stays readable whatever stopped a write."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import associated_learning as al
import associated_learning.runs.ledger.rows as ledger_file
from associated_learning.runs.ledger.rows import append_row, read_rows
from associated_learning.state.lock import held_lock
from ledger_rows import made_row
from small_networks import full_disk

ROW, OTHER = made_row(), made_row(seed=1)


def test_writers_at_once_lose_and_double_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    rows = [made_row(seed=seed % 5) for seed in range(40)]
    with ThreadPoolExecutor(8) as writers:  # each opens the lock by itself, as processes do
        appended = list(writers.map(lambda row: append_row(path, row), rows))
    assert sum(appended) == 5
    assert sorted(row.seed for row in read_rows(path)) == [0, 1, 2, 3, 4]


def test_rows_are_read_and_appended_under_a_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a writer between the look and the append could add the same row."""
    path, free = tmp_path / "ledger.jsonl", []
    append_row(path, ROW)

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            with held_lock(path.with_name("ledger.jsonl.lock")) as mine:  # nobody waits
                free.append((function.__name__, mine))
            return function(*args, **options)

        return call

    for name in ("_parsed", "append_line"):
        monkeypatch.setattr(ledger_file, name, watched(getattr(ledger_file, name)))
    assert append_row(path, OTHER)
    assert free == [("_parsed", False), ("append_line", False)]


def test_a_full_disk_leaves_the_ledger_readable(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    append_row(path, ROW)
    size = path.stat().st_size
    with full_disk(size + 20), pytest.raises(al.CheckpointError, match="could not be saved"):
        append_row(path, OTHER)
    assert read_rows(path) == [ROW]
    assert append_row(path, OTHER)


def test_a_torn_row_is_left_out_set_aside_and_said(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    append_row(path, ROW)
    with path.open("a") as file:
        file.write(json.dumps(ROW.to_json())[:50])
    with pytest.warns(UserWarning, match="was cut off and is left out"):
        assert read_rows(path) == [ROW]
    with pytest.warns(UserWarning, match=r"was cut off \(50 characters"):
        append_row(path, OTHER)
    assert [row.seed for row in read_rows(path)] == [0, 1]


def test_a_ledger_without_a_last_newline_gets_whole_rows(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text(json.dumps(ROW.to_json()))
    assert not append_row(path, ROW)
    assert append_row(path, OTHER)
    assert [row.seed for row in read_rows(path)] == [0, 1]


@pytest.mark.parametrize("place", ["/dev/full", "/dev/zero"])
def test_a_device_is_no_ledger(place: str) -> None:
    with pytest.raises(al.CheckpointError, match="expected a ledger, a file of lines"):
        append_row(Path(place), ROW)


def test_a_changed_figure_is_noticed_and_older_rows_are_read(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    append_row(path, ROW)
    append_row(path, OTHER)
    path.write_text(path.read_text().replace('"test": [0.5]', '"test": [0.6]', 1))
    with pytest.raises(al.CheckpointError, match=r"line 1 is no ledger row: its content does not"):
        read_rows(path)
    path.write_text(json.dumps(ROW.to_json()) + "\n")
    assert read_rows(path) == [ROW]

"""Lines that are appended: whole, one after the other, whatever stopped the write before."""

from __future__ import annotations

from pathlib import Path

import pytest

import associated_learning as al
from associated_learning.state.lines import append_line, read_lines
from small_networks import full_disk


def test_a_full_disk_leaves_no_half_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    append_line(path, "a" * 40)
    with full_disk(64), pytest.raises(al.CheckpointError, match=r"ledger.jsonl could not be saved"):
        append_line(path, "b" * 40)
    assert path.read_text() == "a" * 40 + "\n"
    append_line(path, "c")
    assert read_lines(path).whole == ["a" * 40, "c"]


def test_a_torn_end_is_set_aside_and_said(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text('{"seed": 0}\n{"see')
    lines = read_lines(path)
    assert lines.torn == '{"see'
    with pytest.warns(UserWarning, match=r"last line of .* was cut off \(5 characters"):
        append_line(path, '{"seed": 1}', torn=lines.torn)
    assert path.read_text() == '{"seed": 0}\n{"seed": 1}\n'
    assert (tmp_path / "ledger.jsonl.torn").read_text() == '{"see\n'


def test_a_device_is_no_file_of_lines() -> None:
    with pytest.raises(al.CheckpointError, match=r"/dev/zero is no regular file"):
        read_lines(Path("/dev/zero"))


def test_a_line_without_end_gets_one(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text("one\ntwo")
    append_line(path, "three")
    assert read_lines(path).whole == ["one", "two", "three"]

"""What is written is whole, and on the disk, before it has its name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from associated_learning.state import files


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Keep, in order, the inode of what is synchronised and each name that is given."""
    found: list[Any] = []
    rename, replace, fsync = Path.rename, Path.replace, os.fsync

    def hear_sync(descriptor: int) -> None:
        found.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def hear_rename(self: Path, target: Path) -> Path:
        found.append(target.name)
        return rename(self, target)

    def hear_replace(self: Path, target: Path) -> Path:
        found.append(target.name)
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", hear_sync)
    monkeypatch.setattr(Path, "rename", hear_rename)
    monkeypatch.setattr(Path, "replace", hear_replace)
    return found


def test_a_folder_and_its_files_are_on_the_disk_before_it_has_its_name(
    events: list[Any], tmp_path: Path
) -> None:
    with files.replaced_folder(tmp_path / "last-1") as new:
        for name in ("layer-1", "layer-2"):
            (new / name).write_bytes(b"weights")
    folder = tmp_path / "last-1"
    inside = {path.stat().st_ino for path in (*folder.iterdir(), folder)}
    before, after = events[: events.index("last-1")], events[events.index("last-1") + 1 :]
    assert set(before) == inside
    assert after == [tmp_path.stat().st_ino]  # and then its name is


def test_a_json_file_is_on_the_disk_before_it_has_its_name(
    events: list[Any], tmp_path: Path
) -> None:
    files.write_json(tmp_path / "index.json", {"last": "last-1"})
    inodes = [path.stat().st_ino for path in (tmp_path / "index.json", tmp_path)]
    assert events == [inodes[0], "index.json", inodes[1]]


@pytest.mark.parametrize("removed", range(4))
def test_a_removal_that_is_killed_is_finished_later(
    removed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is gone by then, what is left is known to be ours: the marker goes last."""
    left, unlink, iterdir = iter(range(removed)), Path.unlink, Path.iterdir
    # systems list a folder in any order; here its marker is not the last of it
    monkeypatch.setattr(Path, "iterdir", lambda path: iter(sorted(iterdir(path))))

    def killed(path: Path, missing_ok: bool = False) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        unlink(path, missing_ok)

    with (
        monkeypatch.context() as patch,
        pytest.raises(KeyboardInterrupt),
        files.replaced_folder(tmp_path / "never") as new,
    ):
        for name in ("a", "b", "z"):  # with its marker there are four files
            (new / name).touch()
        patch.setattr(Path, "unlink", killed)
        raise OSError("the disk is full")
    assert len(list(tmp_path.glob(".new-*/*"))) == 4 - removed
    files.remove_unfinished(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [0, 1, 20])
def test_a_folder_whose_marker_is_not_whole_is_cleared_away(size: int, tmp_path: Path) -> None:
    marker = tmp_path / ".new-0123" / files._MARKER
    marker.parent.mkdir()
    marker.write_text(files._OWNER[:size])
    others = tmp_path / ".new-ideas" / files._MARKER
    others.parent.mkdir()
    others.write_text("somebody")
    files.remove_unfinished(tmp_path)
    assert list(tmp_path.iterdir()) == [others.parent]

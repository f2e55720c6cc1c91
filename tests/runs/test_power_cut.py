"""What a run is said to have saved is on the disk: a law of the calls, without a power cut."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from associated_learning.runs import run
from associated_learning.runs.ledger.rows import append_row
from associated_learning.runs.run import train_run
from associated_learning.runs.settings.config import RunConfig
from associated_learning.state.training_state import EpochRecord, TrainingState
from associated_learning.training.callbacks import Callback
from ledger_rows import made_row

NOTES = {".lock", ".lock.holder", "ledger.jsonl.lock"}  # of processes, which a power cut ends


class Disk:
    """What would be there after a power cut: files, and names in folders, that were synced."""

    def __init__(self) -> None:
        self._sizes: dict[int, int] = {}
        self._names: dict[int, dict[str, int]] = {}

    def sync(self, descriptor: int) -> None:
        found = os.fstat(descriptor)
        folder = Path(f"/proc/self/fd/{descriptor}")
        if folder.is_dir():
            self._names[found.st_ino] = {path.name: path.stat().st_ino for path in folder.iterdir()}
        else:
            self._sizes[found.st_ino] = found.st_size

    def lost(self, folder: Path) -> list[str]:
        """Return what of a folder would not be there."""
        found = []
        for path in sorted(folder.rglob("*")):
            status, names = path.stat(), self._names.get(path.parent.stat().st_ino, {})
            if path.name in NOTES or "store" in path.parts:  # checkpoints have links to its files
                continue
            if names.get(path.name) != status.st_ino:
                found.append(f"the name of {path.relative_to(folder)}")
            if path.is_file() and self._sizes.get(status.st_ino) != status.st_size:
                found.append(f"the content of {path.relative_to(folder)}")
        return found


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    found, fsync = Disk(), os.fsync

    def hear(descriptor: int) -> None:
        fsync(descriptor)
        found.sync(descriptor)

    monkeypatch.setattr(os, "fsync", hear)
    return found


class Cut(Callback):
    """Looks after every epoch what a power cut would take."""

    def __init__(self, disk: Disk, folder: Path) -> None:
        self._disk, self._folder = disk, folder
        self.lost: list[list[str]] = []

    def epoch_done(self, state: TrainingState, record: EpochRecord) -> None:
        self.lost.append(self._disk.lost(self._folder))


@pytest.mark.parametrize(
    "settings",
    [
        {"save_every": 1},
        {"executor": "offload", "store": "disk", "window": 2},
        {"method": "bp", "watch_training": True},
        {"grow_from": 1, "num_layers": 2},
    ],
    ids=str,
)
def test_a_power_cut_takes_nothing_that_was_saved(
    settings: dict[str, Any], disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "SAVE_SECONDS", 0.0)
    config = RunConfig(epochs=3, hidden=8, limit_train=100, threads=1, **settings)
    cut = Cut(disk, tmp_path)
    train_run(config, tmp_path / "runs" / "one", callbacks=[cut])
    append_row(tmp_path / "new" / "ledger.jsonl", made_row())
    append_row(tmp_path / "new" / "ledger.jsonl", made_row(seed=1))
    assert [*cut.lost, disk.lost(tmp_path)] == [[]] * 4

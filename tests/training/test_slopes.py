"""Memory and open files do not grow, however often and however long is trained."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import associated_learning as al
from associated_learning.state.history import TrainingState
from associated_learning.training.callbacks import Callback
from conftest import batches_of, dense_network

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("timing")]

EXECUTORS = {"sequential": {}, "threads": {"stages": 2}, "offload": {"window": 4}}
GROWTH = 2**20  # bytes over all that is measured; a leak of one small network a fit is 50 times it
UPDATES = 100_000


def held() -> tuple[int, int, int]:
    """Return bytes of memory, open files and threads of this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    threads = len(list(Path("/proc/self/task").iterdir()))
    return pages * os.sysconf("SC_PAGE_SIZE"), len(list(Path("/proc/self/fd").iterdir())), threads


def growth(measured: list[tuple[int, int, int]]) -> tuple[float, int, int]:
    """Return the growth of memory by its slope over the second half, and of files and threads."""
    half = measured[len(measured) // 2 :]
    slope = np.polyfit(range(len(half)), [memory for memory, *_ in half], 1)[0]
    files, threads = ((half[-1][i] - half[0][i]) for i in (1, 2))
    return float(slope) * len(half), files, threads


@pytest.mark.parametrize("executor", EXECUTORS)
def test_fifty_fits_leave_nothing_behind(executor: str, tmp_path: Path) -> None:
    measured = []
    for number in range(50):
        trainer = al.Trainer(epochs=2, executor=executor, **EXECUTORS[executor])  # type: ignore[arg-type]
        checkpoints = al.Checkpoints(tmp_path / str(number))
        batches = al.LoaderBatches(batches_of(20))
        trainer.fit(dense_network(3), batches, batches, checkpoints=checkpoints)
        measured.append(held())
    memory, files, threads = growth(measured)
    assert (memory < GROWTH, files, threads) == (True, 0, 0), memory


class Looks(Callback):
    """Measures at every epoch."""

    def __init__(self) -> None:
        self.measured: list[tuple[int, int, int]] = []

    def epoch_done(self, state: TrainingState, record: Any) -> None:
        self.measured.append(held())
        state.records.clear()  # the history of epochs, which grows as it should


@pytest.mark.parametrize("executor", EXECUTORS)
def test_many_updates_take_no_more_memory(executor: str, tmp_path: Path) -> None:
    looks, epochs = Looks(), 50
    batches = al.LoaderBatches(batches_of(20) * (UPDATES // epochs // 20))
    trainer = al.Trainer(epochs=epochs, executor=executor, **EXECUTORS[executor])  # type: ignore[arg-type]
    net = dense_network(2)
    trainer.fit(net, batches, checkpoints=al.Checkpoints(tmp_path), callbacks=[looks])
    memory, files, threads = growth(looks.measured)
    assert len(looks.measured) == epochs
    assert (memory < GROWTH, files, threads) == (True, 0, 0), memory

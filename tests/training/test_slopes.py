"""Memory and open files do not grow, however often and however long is trained."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import associated_learning as al
from associated_learning.state.training_state import TrainingState
from associated_learning.training.callbacks import Callback
from small_networks import batches_of, dense_network

pytestmark = pytest.mark.long

EXECUTORS = {"sequential": {}, "threads": {"stages": 2}, "offload": {"window": 4}}
GROWTH = 2**22  # bytes over what is measured; a fit has 1 MB of weights and optimizer states
UPDATES = 100_000


def held() -> tuple[int, int, int]:
    """Return bytes of memory, open files and threads of this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    threads = len(list(Path("/proc/self/task").iterdir()))
    return pages * os.sysconf("SC_PAGE_SIZE"), len(list(Path("/proc/self/fd").iterdir())), threads


def check(measured: list[tuple[int, int, int]]) -> None:
    """Check the slope of memory over the second half, and that there are no more files, threads."""
    half = measured[len(measured) // 2 :]
    slope = np.polyfit(range(len(half)), [memory for memory, *_ in half], 1)[0]
    assert slope * len(half) < GROWTH
    assert all(half[-1][i] <= half[0][i] for i in (1, 2)), (half[0], half[-1])


def wide_network() -> al.ALNetwork:
    encoders = [nn.Linear(6, 128), nn.Linear(128, 128), nn.Linear(128, 128)]
    return al.al_form(encoders, torch.randn(2, 6), al.Classes(4), latent=64)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_fifty_fits_leave_nothing_behind(executor: str, tmp_path: Path) -> None:
    measured = []
    for number in range(50):
        trainer = al.Trainer(epochs=2, executor=executor, **EXECUTORS[executor])  # type: ignore[arg-type]
        checkpoints = al.Checkpoints(tmp_path / str(number))
        batches = al.LoaderBatches(batches_of(20))
        trainer.fit(wide_network(), batches, batches, checkpoints=checkpoints)
        measured.append(held())
    check(measured)


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
    assert len(looks.measured) == epochs
    check(looks.measured)

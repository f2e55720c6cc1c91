"""How often a training is saved, and that a killed one goes on to the same bits all the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import associated_learning as al
from associated_learning.state.training_state import EpochRecord, TrainingState
from associated_learning.training.callbacks import Callback
from faults import KilledError
from small_networks import batches_of, dense_network


class Watch(Callback):
    """Counts how often the last checkpoint is written anew, and ends training after an epoch."""

    def __init__(self, checkpoints: al.Checkpoints, last: int) -> None:
        self.checkpoints, self.last = checkpoints, last
        self.names: list[str] = []

    def epoch_done(self, state: TrainingState, record: EpochRecord) -> None:
        self.names.append(self.checkpoints.path("last").name)
        if record.epoch == self.last:
            raise KilledError


def fitted(folder: Path, *, seconds: float, kill: int | None = None) -> tuple[al.ALNetwork, Watch]:
    torch.manual_seed(0)
    net, batches = dense_network(2), al.LoaderBatches(batches_of(3))
    checkpoints = al.Checkpoints(folder, min_seconds=seconds)
    watch = Watch(checkpoints, kill or 0)
    trainer = al.Trainer(epochs=6, lr=0.05)
    if kill is None:
        trainer.fit(net, batches, batches, callbacks=[watch], checkpoints=checkpoints)
    else:
        with pytest.raises(KilledError):
            trainer.fit(net, batches, batches, callbacks=[watch], checkpoints=checkpoints)
    return net, watch


def test_epochs_that_end_soon_after_a_checkpoint_are_not_saved(tmp_path: Path) -> None:
    _, often = fitted(tmp_path / "often", seconds=0)
    _, seldom = fitted(tmp_path / "seldom", seconds=1000)
    assert len(set(often.names)) == 6
    assert len(set(seldom.names)) == 2  # the first epoch and the last one
    assert al.Checkpoints(tmp_path / "seldom").progress()["epoch"] == 6


@pytest.mark.parametrize("kill", [2, 4])
def test_a_run_killed_between_checkpoints_ends_with_the_same_bits(
    kill: int, tmp_path: Path
) -> None:
    whole, _ = fitted(tmp_path / "whole", seconds=0)
    fitted(tmp_path / "killed", seconds=1000, kill=kill)
    assert al.Checkpoints(tmp_path / "killed").progress()["epoch"] == 1
    resumed, _ = fitted(tmp_path / "killed", seconds=1000)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name

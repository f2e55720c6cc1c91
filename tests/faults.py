"""What makes a training of the tests end early: an error, NaN, the end of its process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from associated_learning.pipeline.offload import disk_store
from associated_learning.state.tensor_file import write_tensors
from associated_learning.state.training_state import EpochRecord, TrainingState
from associated_learning.training.callbacks import Callback

__all__ = ["InterruptAt", "KillAt", "KilledError", "Poison", "die_at"]


class KilledError(Exception):
    """What `KillAt` raises."""


class KillAt(Callback):
    """Ends the run as an error would, after an update: at its batch, its epoch or as it grows."""

    error: type[BaseException] = KilledError

    def __init__(self, step: int, event: str = "batch") -> None:
        self.step, self.event = step, event

    def _hear(self, state: TrainingState, event: str) -> None:
        if (state.step, event) == (self.step, self.event):
            raise self.error(f"killed at {state.step}")

    def batch_done(self, state: TrainingState, losses: list[dict[str, float]]) -> None:
        self._hear(state, "batch")

    def epoch_done(self, state: TrainingState, record: EpochRecord) -> None:
        self._hear(state, "epoch")

    def grown(self, state: TrainingState) -> None:
        self._hear(state, "grown")


class InterruptAt(KillAt):
    """Ends the run as a Ctrl-C would."""

    error = KeyboardInterrupt


class Poison(nn.Module):
    """Gives NaN from a minibatch on."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after, self.batches = after, 0

    def forward(self, x: Tensor) -> Tensor:
        self.batches += self.training
        return x * float("nan") if self.batches > self.after else x


def die_at(write: int) -> None:
    """Let this process die, from here on, in the middle of a write into a store."""
    written = iter(range(1, write))

    def dying(path: Path, tensors: Mapping[str, Tensor]) -> str:
        if next(written, None) is None:
            path.write_bytes(b"half a fi")
            os._exit(9)
        return write_tensors(path, tensors)

    disk_store.write_tensors = dying  # type: ignore[attr-defined]  # in this process alone

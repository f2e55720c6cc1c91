"""What a training saves through `Checkpoints`: the state to go on from, and the best weights."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping

import torch
from torch import Tensor

from associated_learning.errors import NonFiniteLossError
from associated_learning.network import Network
from associated_learning.state.checkpoint import Checkpoints
from associated_learning.state.snapshot import Snapshot, StoredFile
from associated_learning.state.training_state import TrainingState
from associated_learning.tensors.nested import map_tensors

__all__ = ["Checkpointer"]


class Checkpointer:
    """The last state and the best weights, in checkpoints; without any the best in memory."""

    def __init__(self, net: Network, checkpoints: Checkpoints | None) -> None:
        self._net = net
        self._checkpoints = checkpoints
        self._best_in = checkpoints
        self._best: dict[str, dict[str, Tensor]] | None = None  # not on the disk
        self._best_step = 0
        self._saved_at = float("-inf")

    def save_last(self, snapshot: Snapshot, state: TrainingState, *, due: bool = True) -> None:
        """Save what an exact continuation needs.

        Args:
            snapshot: Weights, optimizers and schedules.
            state: Where training stands.
            due: Whether it must be saved now, even if little time has passed.

        Raises:
            NonFiniteLossError: Weights are NaN or infinite; what was saved before is unharmed.
            CheckpointError: The disk is full or not writable.
        """
        if self._checkpoints is None:
            return
        self._require_finite(snapshot.weights, snapshot.files, state.step)
        recent = time.monotonic() - self._saved_at < self._checkpoints.min_seconds
        if not due and recent and self._checkpoints.has("last"):  # it may have been deleted
            return
        if self._best is not None:
            self._checkpoints.save_best(self._best, self._best_step)
            self._best = None
        self._checkpoints.save_last(snapshot, state.to_json())
        self._saved_at = time.monotonic()

    def save_best(self, snapshot: Snapshot, step: int, depth: int | None) -> None:
        """Keep the best weights so far, on the disk no later than the next `save_last` saves.

        Args:
            snapshot: Holds them.
            step: Number of weight updates.
            depth: How many of the lowest parts to keep; None keeps all.

        Raises:
            NonFiniteLossError: As in `save_last`.
            CheckpointError: Likewise.
        """
        weights = dict(itertools.islice(snapshot.weights.items(), depth))
        self._require_finite(weights, snapshot.files, step)
        if self._best_in is None and snapshot.files:
            # beside the files, as memory may not hold them
            file = next(iter(snapshot.files.values()))
            self._best_in = Checkpoints(file.path.parent / "unsaved")
        if self._best_in is not None and (snapshot.files or self._best_in.min_seconds == 0):
            self._best_in.save_best(weights, step, snapshot.files)  # without a copy
        else:
            self._best, self._best_step = map_tensors(Tensor.clone, weights), step

    def restore_best(self) -> None:
        """Give the network the best weights; it has the depth that they are of."""
        if self._best is not None:
            for name, part in self._net.parts().items():
                part.load_state_dict(self._best[name])
        elif self._best_in is not None:
            self._best_in.load_best(self._net)

    def _require_finite(
        self,
        weights: Mapping[str, Mapping[str, Tensor]],
        files: Mapping[str, StoredFile],
        step: int,
    ) -> None:
        parts = self._net.parts()
        for name, tensors in weights.items():
            if name in files and files[name].finite:
                continue
            learned = [tensors[key] for key, _ in parts[name].named_parameters()]
            if not all(bool(torch.isfinite(weight).all()) for weight in learned):
                raise NonFiniteLossError(
                    f"the weights of {name} are not finite after batch {step - 1}, although its "
                    "loss was; what was saved before is unharmed. Lower the learning rate or clip "
                    "gradients."
                )

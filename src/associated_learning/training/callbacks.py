"""Callbacks: what a training run tells whoever listens."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from associated_learning.errors import needs_extra
from associated_learning.network import Network
from associated_learning.state.files import replaced_file
from associated_learning.state.lines import append_line
from associated_learning.state.sealed import sealed
from associated_learning.state.training_state import EpochRecord, StageTime, TrainingState

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["Callback", "Callbacks", "JsonLines", "TensorBoard"]

Losses = list[dict[str, float]]


class Callback:
    """Base of all callbacks: every event does nothing until it is overridden.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> class Epochs(Callback):
        ...     def epoch_done(self, state, record):
        ...         print(f"epoch {record.epoch}: {len(record.losses)} layers")
        >>> x, y = torch.randn(8, 4), torch.arange(8) % 2
        >>> net = al.al_form([nn.Linear(4, 8)], x, al.Classes(2), latent=4)
        >>> history = al.Trainer(epochs=1).fit(net, (x, y), callbacks=[Epochs()])
        epoch 1: 1 layers
    """

    def started(self, state: TrainingState, *, epochs: int, batches: int) -> None:
        """Training starts or is resumed: ``epochs`` in all, ``batches`` in each."""

    def batch_done(self, state: TrainingState, losses: Losses) -> None:
        """A batch is done; ``losses`` are its losses by name, one dict a block.

        ``state.stop()`` lets training end with this epoch.
        """

    def stages_done(self, step: int, times: list[StageTime]) -> None:
        """All stages have worked on the batch of weight update ``step``, at these times."""

    def validation_batch_done(
        self, state: TrainingState, outputs: Sequence[Tensor], y: Tensor
    ) -> None:
        """A batch of the validation data is answered, before the epoch is counted.

        Args:
            state: Where training stands.
            outputs: Of depth 1, 2, ..., L, each ``[B, *P, size]``.
            y: The targets.
        """

    def sees_outputs(self) -> bool:
        """Return whether `validation_batch_done` does anything; else outputs are not kept."""
        return type(self).validation_batch_done is not Callback.validation_batch_done

    def validated(self, state: TrainingState, net: Network) -> None:
        """All validation data are answered, before the epoch is counted.

        Args:
            state: Where training stands.
            net: The network as it was at the epoch's end, to be looked at; where layers train
                meanwhile it is a copy.
        """

    def epoch_done(self, state: TrainingState, record: EpochRecord) -> None:
        """An epoch is done, validated and saved; ``state.stop()`` makes it the last one."""

    def grown(self, state: TrainingState) -> None:
        """From now on there are ``state.depth`` layers, the lowest ``state.frozen`` frozen."""

    def ended(self, state: TrainingState) -> None:
        """Training is over, for whatever reason."""


class Callbacks(Callback):
    """Several callbacks as one, called in order; an error in one `ended` stops no other."""

    def __init__(self, callbacks: Iterable[Callback]) -> None:
        self.callbacks = tuple(callbacks)

    def started(self, state: TrainingState, *, epochs: int, batches: int) -> None:
        for callback in self.callbacks:
            callback.started(state, epochs=epochs, batches=batches)

    def batch_done(self, state: TrainingState, losses: Losses) -> None:
        for callback in self.callbacks:
            callback.batch_done(state, losses)

    def stages_done(self, step: int, times: list[StageTime]) -> None:
        for callback in self.callbacks:
            callback.stages_done(step, times)

    def validation_batch_done(
        self, state: TrainingState, outputs: Sequence[Tensor], y: Tensor
    ) -> None:
        for callback in self.callbacks:
            callback.validation_batch_done(state, outputs, y)

    def sees_outputs(self) -> bool:
        return any(callback.sees_outputs() for callback in self.callbacks)

    def validated(self, state: TrainingState, net: Network) -> None:
        for callback in self.callbacks:
            callback.validated(state, net)

    def epoch_done(self, state: TrainingState, record: EpochRecord) -> None:
        for callback in self.callbacks:
            callback.epoch_done(state, record)

    def grown(self, state: TrainingState) -> None:
        for callback in self.callbacks:
            callback.grown(state)

    def ended(self, state: TrainingState) -> None:
        with ExitStack() as stack:  # which goes on after an error, from the last to the first
            for callback in reversed(self.callbacks):
                stack.callback(callback.ended, state)


class JsonLines(Callback):
    """Writes one line of JSON an epoch; on resuming, epochs after the checkpoint are dropped.

    Every line is on the disk before training goes on, and ends with a digest of itself.

    Raises:
        CheckpointError: It cannot be written.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def started(self, state: TrainingState, *, epochs: int, batches: int) -> None:
        lines = [f"{_line(record)}\n" for record in state.records]
        with replaced_file(self.path) as temporary:
            temporary.write_text("".join(lines), encoding="utf-8")

    def epoch_done(self, state: TrainingState, record: EpochRecord) -> None:
        append_line(self.path, _line(record))


class TensorBoard(Callback):
    """Writes losses of every layer and scores of every depth for TensorBoard.

    Args:
        folder: Where the event files go.
        every: Number of batches between two entries of the training losses.

    Raises:
        InputError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path | str, *, every: int = 20) -> None:
        self.folder = Path(folder)
        self.every = every
        self._writer: SummaryWriter | None = None

    def started(self, state: TrainingState, *, epochs: int, batches: int) -> None:
        with needs_extra("tensorboard", "a TensorBoard log"):
            from torch.utils.tensorboard import SummaryWriter
        self._writer = SummaryWriter(str(self.folder), purge_step=state.step)

    def batch_done(self, state: TrainingState, losses: Losses) -> None:
        if self._writer is None or state.step % self.every:
            return
        for i, terms in enumerate(losses, start=1):
            for name, value in terms.items():
                self._writer.add_scalar(f"loss/{name}/layer-{i}", value, state.step)

    def epoch_done(self, state: TrainingState, record: EpochRecord) -> None:
        if self._writer is None:
            return
        for i, score in enumerate(record.scores, start=1):
            self._writer.add_scalar(f"validation/depth-{i}", score, state.step)
        self._writer.flush()

    def ended(self, state: TrainingState) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _line(record: EpochRecord) -> str:
    return json.dumps(sealed(asdict(record)))

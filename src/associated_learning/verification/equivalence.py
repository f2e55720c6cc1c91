"""Proof that a pipeline trains to the same bits as one process (law of the exact pipeline)."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from associated_learning.conversion.html_table import text_table
from associated_learning.errors import InputError, VerificationError
from associated_learning.network import Network
from associated_learning.pipeline.executor_table import chosen_executor
from associated_learning.state.checkpoint import Checkpoints
from associated_learning.tensors.copying import copied
from associated_learning.tensors.devices import device_of
from associated_learning.training.batch_stream import BatchSource
from associated_learning.training.trainer import Trainer

__all__ = ["Equivalence", "LayerDigests", "verify_pipeline"]


class LayerDigests(NamedTuple):
    """SHA-256 of what training made of one file of a checkpoint.

    Attributes:
        name: Such as "layer-1" (weights and buffers) or "optimizer-1" (its state).
        sequential: Digest after training in one process.
        pipeline: Digest after training by the executor that is verified.
    """

    name: str
    sequential: str
    pipeline: str

    @property
    def equal(self) -> bool:
        """Whether both hold the same bits."""
        return self.sequential == self.pipeline


@dataclass(frozen=True)
class Equivalence:
    """What `verify_pipeline` compared; print it to read it.

    Attributes:
        steps: Number of weight updates.
        rows: One for the weights of each layer and for the state of each optimizer.

    Example:
        >>> row = LayerDigests("layer-1", sequential="ab", pipeline="ab")
        >>> Equivalence(200, (row,)).exact
        True
    """

    steps: int
    rows: tuple[LayerDigests, ...]

    @property
    def exact(self) -> bool:
        """Whether all bits are the same."""
        return all(row.equal for row in self.rows)

    def __str__(self) -> str:
        rows = [
            (row.name, row.sequential[:16], row.pipeline[:16], "yes" if row.equal else "NO")
            for row in self.rows
        ]
        heading = ("SHA-256 after training", "sequential", "pipeline", "same")
        return f"{text_table(heading, rows)}\n{self.steps} weight updates"


def verify_pipeline(
    net: Network, train: BatchSource, trainer: Trainer, *, steps: int = 200
) -> Equivalence | None:
    """Train by the trainer's executor and in one process, and compare every bit.

    Two copies of the network are trained on the same minibatches, both with one thread inside
    operations: with other numbers of threads torch adds up in other orders. Weights, buffers and
    states of the optimizers are compared. The network itself is left as it is.

    Args:
        net: The network.
        train: Training batches.
        trainer: Its ``executor`` and ``stages`` are verified; all its other settings are used too.
        steps: Number of weight updates.

    Returns:
        The comparison; None on the ranks of a pipeline of processes other than rank 0.

    Raises:
        InputError: There are no steps to train.
        VerificationError: Some bits differ; it shows the table.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> x = torch.randn(64, 4)
        >>> batches = al.LoaderBatches([(x, (x[:, 0] > 0).long())] * 4)
        >>> layers = [nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.1)) for _ in range(3)]
        >>> net = al.al_form(layers, x, al.Classes(2), latent=8)
        >>> trainer = al.Trainer(epochs=1, executor="threads", stages=3)
        >>> al.verify_pipeline(net, batches, trainer, steps=10).exact
        True
    """
    if steps < 1:
        raise InputError(f"steps={steps} came; expected at least 1.")
    if chosen_executor(trainer.executor, device_of(net), trainer.stages) == "sequential":
        raise InputError(
            "a trainer with the executor 'sequential' came, which would be compared with itself; "
            "give executor='threads', or a number of stages."
        )
    some = _Steps(train, steps)
    once = replace(trainer, epochs=1, patience=None, save_every=None)
    with tempfile.TemporaryDirectory() as folder, _one_thread():
        piped, alone = Path(folder) / "pipeline", Path(folder) / "sequential"
        once.fit(copied(net), some, checkpoints=Checkpoints(piped))
        if not piped.exists():
            return None  # the checkpoint is where rank 0 is
        simple = once.sequential()
        simple.fit(copied(net), some, checkpoints=Checkpoints(alone))
        first, second = _digests(alone), _digests(piped)
    names = sorted({*first, *second}, key=lambda name: (name.split("-")[0], len(name), name))
    rows = (LayerDigests(name, first.get(name, ""), second.get(name, "")) for name in names)
    report = Equivalence(steps, tuple(rows))
    if not report.exact:
        raise VerificationError(f"the pipeline does not end with the same bits:\n{report}")
    return report


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Steps:
    """So many batches of a source, over as many of its epochs as that takes, as one epoch."""

    def __init__(self, source: BatchSource, steps: int) -> None:
        self._source = source
        self._steps = steps

    def __len__(self) -> int:
        return self._steps

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Any, Tensor]]:
        return islice(self._all(), start, self._steps)

    def _all(self) -> Iterator[tuple[Any, Tensor]]:
        epoch = 0
        while len(self._source) > 0:
            yield from self._source.epoch(epoch)
            epoch += 1


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(Checkpoints(folder).path("last").glob("*.safetensors"))
    return {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

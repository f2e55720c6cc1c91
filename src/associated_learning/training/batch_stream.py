"""What a trainer sends through the layers: the minibatches of every epoch, and markers."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from associated_learning.errors import InputError
from associated_learning.network import Network
from associated_learning.pipeline.channel import Channel
from associated_learning.pipeline.interrupt import Interrupt
from associated_learning.pipeline.items import Items, Marker, Minibatch
from associated_learning.state.training_state import EpochRecord
from associated_learning.tensors.batch_checks import check_batch
from associated_learning.tensors.devices import device_of
from associated_learning.tensors.nested import to_device

__all__ = ["BatchSource", "BatchStream", "set_modes"]


class BatchSource(Protocol):
    """Minibatches whose order is a function of the epoch alone, so that runs can resume."""

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Any, Tensor]]:
        """Yield the inputs and targets of an epoch, leaving out its first ``start`` batches."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchStream:
    """Makes the items of a run; a thread of its own may draw them ahead of the training.

    Attributes:
        net: The network.
        source: Its training batches.
        epochs: Largest number of epochs.
        frozen_modules: Modules that are left as they are.
        save_every: Number of updates between two markers inside an epoch; None for none.
        accumulation: Number of minibatches that make an update.
        advance: Whether learning rates follow epochs.
        waits: Whether they depend on what an epoch gave in validation.
        interrupt: Asked before every batch; then a marker ends the run.
        validated: Where the records of epochs come back that ``waits`` waits for.
    """

    net: Network
    source: BatchSource
    epochs: int
    frozen_modules: Sequence[nn.Module]
    save_every: int | None
    advance: bool
    waits: bool
    interrupt: Interrupt
    accumulation: int = 1
    validated: Channel[EpochRecord] = field(default_factory=lambda: Channel(None))

    def items(self, *, epoch: int, batch: int, step: int) -> Items:
        """Yield the items from an update of an epoch on, the weight update number ``step``."""
        set_modes(self.net, self.frozen_modules)  # before any stage has work
        for number in range(epoch, self.epochs):
            for pairs in self._updates(number, batch):
                yield self._minibatch(step, pairs)
                step += 1
                if self.interrupt.requested:
                    yield Marker(last=True)
                    return
                if self.save_every is not None and step % self.save_every == 0:
                    yield Marker()
            batch = 0
            yield Marker(epoch_end=True, advance=self.advance and not self.waits)
            if self.waits:
                yield Marker(advance=True, record=self.validated.get())

    def _updates(self, epoch: int, start: int) -> Iterator[list[tuple[Any, Tensor]]]:
        """Yield the batches of each update of an epoch, leaving out the first ``start`` updates."""
        batches = self._counting(epoch, start * self.accumulation)
        while pairs := list(itertools.islice(batches, self.accumulation)):
            yield pairs

    def _counting(self, epoch: int, start: int) -> Iterator[tuple[Any, Tensor]]:
        """Yield the batches of an epoch that hold a target, leaving out the first ``start``."""
        target = self.net.target
        if not target.positions:
            yield from self.source.epoch(epoch, start=start)
            return
        count = 0
        for x, y in self.source.epoch(epoch):
            if not bool(target.kept(y).any()):
                warnings.warn(
                    "a batch was skipped in training: none of its positions counts, all are "
                    "ignored in y",
                    stacklevel=2,
                )
                continue
            if count >= start:
                yield x, y
            count += 1
        if not count:
            raise InputError(
                f"no position of epoch {epoch + 1} counts: y holds nothing but what is ignored. "
                "Check how labels are aligned with positions, and ignore_index."
            )

    def sample(self) -> Minibatch:
        """Return a minibatch, and leave the network in the mode it trains in."""
        set_modes(self.net, self.frozen_modules)
        return self._minibatch(0, next(self._updates(0, 0)))

    def _minibatch(self, step: int, pairs: Sequence[tuple[Any, Tensor]]) -> Minibatch:
        device, target = device_of(self.net), self.net.target
        encoded = []
        for x, y in pairs:
            check_batch(x, y, step)
            # checks y where it lies: from a GPU that would be waited for
            t0 = target.encode(y)
            encoded.append((to_device(x, device), t0.to(device, non_blocking=True)))
        if device.type == "cuda":  # stages read it on streams of their own
            torch.cuda.current_stream(device).synchronize()
        if self.accumulation == 1:
            return Minibatch(step, *encoded[0])
        s, t = zip(*encoded, strict=True)
        counts = [float(target.counted(y).sum()) for _, y in pairs]
        return Minibatch(step, s, t, tuple(count / sum(counts) for count in counts))


def set_modes(net: Network, frozen_modules: Iterable[nn.Module]) -> None:
    """Put a network into training mode, but for modules that are left as they are."""
    net.train()
    for module in frozen_modules:
        module.eval()

"""Consecutive layers that train in one place: what every executor is made of."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from associated_learning.pipeline.accumulation import update_on_parts
from associated_learning.pipeline.items import (
    Item,
    Marker,
    Minibatch,
    Report,
    SnapshotReport,
    Trained,
)
from associated_learning.state.optimizers import advance
from associated_learning.state.snapshot import Snapshot, joined
from associated_learning.state.training_state import StageTime
from associated_learning.tensors.nested import map_tensors, tensors_in, to_device
from associated_learning.update import UpdateRule, update_blocks, update_layer

__all__ = ["Stage"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Stage:
    """Consecutive blocks of a network with their optimizers and learning-rate schedules.

    Attributes:
        blocks: The blocks, from the input up.
        optimizers: One for each block, None for a frozen one.
        schedulers: One for each block, None for a constant rate.
        parts: The parts of the network (see `Network.parts`) that lie in the blocks, by name.
        rule: How they are updated.
        rates_follow_steps: Whether learning rates follow updates, or epochs.
        device: Where they are.
        first: Number of the first block in the network, from 1.
        top: Whether no layer is above it, so that nobody needs what it would hand on.
        replica: Which replica of the stage this is, from 0; the first one speaks for all.
        copies: Whether what is handed on or reported must outlive the next update, because
            others work on it meanwhile.
        clock: Tells the time that its reports show, in seconds.
    """

    blocks: Sequence[nn.Module]
    optimizers: Sequence[Optimizer | None]
    schedulers: Sequence[LRScheduler | None]
    parts: Mapping[str, nn.Module]
    rule: UpdateRule
    device: torch.device
    rates_follow_steps: bool = False
    first: int = 1
    top: bool = False
    replica: int = 0
    copies: bool = False
    clock: Callable[[], float] = time.perf_counter

    def handle(self, item: Item) -> tuple[Report, Item]:
        """Do what an item asks for; return the report, and the item for the next stage."""
        if isinstance(item, Minibatch):
            return self.train(item)
        if isinstance(item, Marker):
            return self.mark(item), item
        return item, item

    def handled(self, item: Item) -> Iterator[tuple[Report, Item]]:
        """Yield what `handle` returns; see `Handler`."""
        yield self.handle(item)

    def train(self, batch: Minibatch) -> tuple[Trained, Minibatch]:
        """Update the layers on a minibatch (Algorithm 2, lines 4 to 12)."""
        if not self.blocks:  # a rank that a layer may still come to
            return Trained(batch.step, [], []), batch
        begin = self.clock()
        s, t = to_device((batch.s, batch.t), self.device)
        if self.device.type == "cuda":
            _hold((s, t), torch.cuda.current_stream(self.device))
        shares = batch.shares
        s, t, losses = update_blocks(
            self.blocks,
            self.optimizers,
            s,
            t,
            step=batch.step,
            first=self.first,
            rule=self.rule,
            update=update_layer if shares is None else partial(update_on_parts, shares=shares),
        )
        if self.rates_follow_steps:
            advance(self.schedulers, None)
        if self.copies and not self.top:
            s, t = self._parted((s, t))
        values = [{name: float(loss) for name, loss in terms.items()} for terms in losses]
        last = self.first + len(self.blocks) - 1
        when = StageTime(self.first, last, begin, self.clock(), self.replica)
        if self.top:  # nobody needs them
            return Trained(batch.step, values, [when]), Minibatch(batch.step, None, t[:0])
        return Trained(batch.step, values, [when]), batch._replace(s=s, t=t)

    def mark(self, marker: Marker) -> SnapshotReport:
        """Take a snapshot of the layers."""
        rates = [0.0 if o is None else float(o.param_groups[0]["lr"]) for o in self.optimizers]
        if marker.advance:
            advance(self.schedulers, marker.record)
        if self.replica > 0:
            return SnapshotReport(marker, rates, joined([]))
        snapshot = self.snapshot()
        if self.copies:
            snapshot = snapshot.copied()
            if self.device.type == "cuda":  # it is read on another stream
                torch.cuda.current_stream(self.device).synchronize()
        return SnapshotReport(marker, rates, snapshot)

    def snapshot(self) -> Snapshot:
        """Return the state of the layers, whose tensors go on training."""
        return Snapshot.of(self.parts, self.optimizers, self.schedulers)

    def restore(self, snapshot: Snapshot) -> None:
        """Put a state back in place."""
        snapshot.restore(self.parts, self.optimizers, self.schedulers)

    def split(self, sizes: Sequence[int]) -> list[Stage]:
        """Return stages of so many blocks each, which share nothing.

        Args:
            sizes: They add up to the number of blocks; 0 for a stage that has none yet.
        """
        assert sum(sizes) == len(self.blocks)
        ends = list(itertools.accumulate(sizes))
        return [self._slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]

    def _slice(self, begin: int, end: int) -> Stage:
        blocks = self.blocks[begin:end]
        inside = {id(module) for block in blocks for module in block.modules()}
        return replace(
            self,
            blocks=blocks,
            optimizers=self.optimizers[begin:end],
            schedulers=self.schedulers[begin:end],
            parts={name: part for name, part in self.parts.items() if id(part) in inside},
            first=self.first + begin,
            top=end == len(self.blocks),
        )

    def _parted(self, structure: Any) -> Any:
        """Copy tensors that lie in the memory of a weight or buffer, which the next batch changes.

        An encoder may hand on such a one, a learned token say, or a table of positions.
        """
        own = {
            tensor.untyped_storage().data_ptr()
            for block in self.blocks
            for tensor in (*block.parameters(), *block.buffers())
        }

        def part(tensor: Tensor) -> Tensor:
            return tensor.clone() if tensor.untyped_storage().data_ptr() in own else tensor

        return map_tensors(part, structure)


def _hold(structure: Any, stream: torch.cuda.Stream) -> None:
    """Keep the memory of tensors that another stream made until this one is done with them."""
    for tensor in tensors_in(structure):
        tensor.record_stream(stream)

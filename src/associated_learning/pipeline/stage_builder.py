"""Builds a stage of a network: its blocks, and an optimizer and a schedule for each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from torch.optim import Optimizer

from associated_learning.layer import PerLayer, one_for_each
from associated_learning.network import Network
from associated_learning.pipeline.stage import Stage
from associated_learning.state.optimizers import Schedule, make_optimizers, make_schedulers
from associated_learning.tensors.devices import device_of
from associated_learning.update import UpdateRule

__all__ = ["StageBuilder"]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class StageBuilder:
    """Optimizers, learning rates and schedules, one for all layers or one for each.

    Attributes:
        optimizer: See `Trainer`, as for the next four.
        lr: One learning rate, or one for each block.
        encoder_lr: That of the encoders where it is another.
        options: Passed on to the optimizers.
        schedule: Makes a scheduler of an optimizer, or one for each block.
        compile: Whether to compile every block.
        rule: How the blocks are updated.
        rates_follow_steps: Whether learning rates follow updates, or epochs.
        layers: Number of layers that lists hold an entry for, where the network grows up to it;
            None where it stays as it is.
    """

    optimizer: PerLayer[type[Optimizer]]
    lr: PerLayer[float]
    encoder_lr: PerLayer[float | None]
    options: Mapping[str, Any]
    schedule: PerLayer[Schedule | None]
    compile: bool
    rule: UpdateRule
    rates_follow_steps: bool = False
    layers: int | None = None

    def stage(self, net: Network, frozen: int = 0) -> Stage:
        """Return a whole network as one stage, with fresh optimizers.

        Args:
            net: The network.
            frozen: Number of lowest blocks that get none.
        """
        blocks = net.blocks()
        count = len(blocks)
        optimizers = make_optimizers(
            blocks,
            self._so_far("optimizers", self.optimizer, count),
            lr=self._so_far("learning rates", self.lr, count),
            encoder_lr=self._so_far("learning rates of encoders", self.encoder_lr, count),
            **self.options,
        )
        optimizers[:frozen] = [None] * frozen
        if self.compile:
            for block in blocks[frozen:]:
                block.compile()
        schedule = self._so_far("schedules", self.schedule, count)
        return Stage(
            blocks=blocks,
            optimizers=optimizers,
            schedulers=make_schedulers(optimizers, schedule),
            parts=net.parts(),
            device=device_of(net),
            rule=self.rule,
            rates_follow_steps=self.rates_follow_steps,
        )

    def _so_far(self, what: str, value: PerLayer[T], count: int) -> PerLayer[T]:
        """Return the settings of the layers that are there so far, where a list is of all."""
        if self.layers is None:
            return value
        return one_for_each(what, value, self.layers, "layers that the network may grow to")[:count]

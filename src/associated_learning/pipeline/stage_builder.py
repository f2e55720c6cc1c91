"""What every layer is trained by: from settings to a stage with optimizers and schedules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer

from associated_learning.errors import InputError
from associated_learning.network import Network
from associated_learning.pipeline.stage import Stage, UpdateRule
from associated_learning.state.optimizers import Schedule, make_optimizers, make_schedulers
from associated_learning.tensors.devices import device_of

__all__ = ["StageBuilder"]


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
        layers: Number of layers that lists hold an entry for, where the network grows up to it;
            None where it stays as it is.
    """

    optimizer: type[Optimizer] | Sequence[type[Optimizer]]
    lr: float | Sequence[float]
    encoder_lr: float | Sequence[float] | None
    options: Mapping[str, Any]
    schedule: Schedule | Sequence[Schedule | None] | None
    compile: bool
    rule: UpdateRule
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
            self._for("optimizers", self.optimizer, count),
            lr=self._for("learning rates", self.lr, count),
            encoder_lr=self._for("learning rates of encoders", self.encoder_lr, count),
            **self.options,
        )
        optimizers[:frozen] = [None] * frozen
        if self.compile:
            for block in blocks[frozen:]:
                block.compile()
        schedule = self._for("schedules", self.schedule, count)
        return Stage(
            blocks=blocks,
            optimizers=optimizers,
            schedulers=make_schedulers(optimizers, schedule),
            parts=net.parts(),
            device=device_of(net),
            rule=self.rule,
        )

    def _for(self, what: str, value: Any, count: int) -> Any:
        """Return the settings of the layers that are there so far."""
        if self.layers is None or not isinstance(value, (list, tuple)):
            return value
        if len(value) != self.layers:
            raise InputError(
                f"{len(value)} {what} came for a network that grows to {self.layers} layers; "
                "expected one for each, or a single one for all."
            )
        return value[:count]

"""The state of layers in the middle of training, as values: what a checkpoint holds of them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from associated_learning.tensors.nested import map_tensors

__all__ = ["Snapshot", "joined"]


class Snapshot(NamedTuple):
    """Weights, optimizers and schedules of some layers, or of a whole network, at one update.

    Attributes:
        weights: A ``state_dict`` for every part (see `Network.parts`) by its name.
        optimizers: A ``state_dict`` for every block; None where nothing trains.
        schedulers: A ``state_dict`` for every block; None where the rate is constant.
        kinds: The classes of optimizer and schedule, block by block.
    """

    weights: dict[str, dict[str, Tensor]]
    optimizers: list[dict[str, Any] | None]
    schedulers: list[dict[str, Any] | None]
    kinds: list[str]

    @classmethod
    def of(
        cls,
        parts: Mapping[str, nn.Module],
        optimizers: Sequence[Optimizer | None],
        schedulers: Sequence[LRScheduler | None],
    ) -> Snapshot:
        """Return the present state. Its tensors are those that train: `copied` parts them."""
        return cls(
            weights={name: part.state_dict() for name, part in parts.items()},
            optimizers=[None if one is None else one.state_dict() for one in optimizers],
            schedulers=[None if one is None else one.state_dict() for one in schedulers],
            kinds=[
                f"{type(one).__name__}, {type(two).__name__}"
                for one, two in zip(optimizers, schedulers, strict=True)
            ],
        )

    def copied(self) -> Snapshot:
        """Return a copy that further training leaves alone."""
        return self._replace(
            weights=map_tensors(Tensor.clone, self.weights),
            optimizers=map_tensors(Tensor.clone, self.optimizers),
            schedulers=copy.deepcopy(self.schedulers),
        )

    def restore(
        self,
        parts: Mapping[str, nn.Module],
        optimizers: Sequence[Optimizer | None],
        schedulers: Sequence[LRScheduler | None],
    ) -> None:
        """Put the state back in place, into what it was taken of or its like."""
        for name, part in parts.items():
            part.load_state_dict(self.weights[name])
        for live, saved in zip(optimizers, self.optimizers, strict=True):
            if live is not None and saved is not None:
                live.load_state_dict(saved)
        for schedule, saved in zip(schedulers, self.schedulers, strict=True):
            if schedule is not None and saved is not None:
                schedule.load_state_dict(saved)


def joined(shares: Iterable[Snapshot]) -> Snapshot:
    """Return the snapshot of all layers of consecutive stages, from those of each."""
    whole = Snapshot({}, [], [], [])
    for share in shares:
        whole.weights.update(share.weights)
        whole.optimizers.extend(share.optimizers)
        whole.schedulers.extend(share.schedulers)
        whole.kinds.extend(share.kinds)
    return whole

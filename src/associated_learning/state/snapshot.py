"""The state of layers in the middle of training, as values: what a checkpoint holds of them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from associated_learning.state.optimizers import align_states
from associated_learning.tensors.nested import map_tensors

__all__ = ["Snapshot", "StoredFile", "joined", "stored_state"]


class StoredFile(NamedTuple):
    """A file that holds already what a checkpoint would write, and is never changed.

    Attributes:
        path: Where it lies.
        digest: See `file_digest`.
        finite: Whether all numbers in it are known to be finite.
        signature: Its size and time of change when it was written.
    """

    path: Path
    digest: str
    finite: bool
    signature: tuple[int, int]


class Snapshot(NamedTuple):
    """Weights, optimizers and schedules of some layers, or of a whole network, at one update.

    Attributes:
        weights: A ``state_dict`` for every part (see `Network.parts`) by its name.
        optimizers: A ``state_dict`` for every block; None where nothing trains.
        schedulers: A ``state_dict`` for every block; None where the rate is constant.
        kinds: The classes of optimizer and schedule, block by block.
        files: Files that hold weights and tensors of optimizers, by their names in a checkpoint
            without ending. Then ``weights`` are read when they are looked at, and ``optimizers``
            hold none of the tensors.
    """

    weights: Mapping[str, Mapping[str, Tensor]]
    optimizers: list[dict[str, Any] | None]
    schedulers: list[dict[str, Any] | None]
    kinds: list[str]
    files: Mapping[str, StoredFile]

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
            files={},
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
        pairs = zip(optimizers, self.optimizers, strict=True)
        for number, (live, saved) in enumerate(pairs, start=1):
            if live is not None and saved is not None:
                file = self.files.get(f"optimizer-{number}")
                if file is not None:
                    saved = stored_state(saved, load_file(file.path))
                live.load_state_dict(saved)
                align_states(live)
        for schedule, saved in zip(schedulers, self.schedulers, strict=True):
            if schedule is not None and saved is not None:
                schedule.load_state_dict(saved)


def stored_state(saved: dict[str, Any], tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of an optimizer with other values than the tensors it has now.

    Args:
        saved: Its ``state_dict``.
        tensors: As a checkpoint's file names them: the number of the parameter, then the name.
    """
    state = {
        index: {name: value for name, value in values.items() if not isinstance(value, Tensor)}
        for index, values in saved["state"].items()
    }
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    return {**saved, "state": state}


def joined(shares: Iterable[Snapshot]) -> Snapshot:
    """Return the snapshot of all layers of consecutive stages, from those of each."""
    weights: dict[str, Mapping[str, Tensor]] = {}
    files: dict[str, StoredFile] = {}
    whole = Snapshot(weights, [], [], [], files)
    for share in shares:
        files.update(share.files)
        weights.update(share.weights)
        whole.optimizers.extend(share.optimizers)
        whole.schedulers.extend(share.schedulers)
        whole.kinds.extend(share.kinds)
    return whole

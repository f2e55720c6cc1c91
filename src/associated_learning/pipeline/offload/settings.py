"""What a user can set about training in which one layer at a time is in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from associated_learning.errors import CheckpointError, InputError
from associated_learning.layer import ALLayer
from associated_learning.network import Network
from associated_learning.pipeline.items import Minibatch
from associated_learning.pipeline.offload.disk_store import DiskStore
from associated_learning.pipeline.offload.executor import Offload
from associated_learning.pipeline.offload.store import HostStore, Store
from associated_learning.pipeline.offload.stored_network import StoredNetwork
from associated_learning.pipeline.offload.waiting import Waiting
from associated_learning.pipeline.planning.partition import balanced, checked_sizes
from associated_learning.pipeline.stage import Stage

__all__ = ["Offloading"]

WINDOW = 16


@dataclass(frozen=True, kw_only=True)
class Offloading:
    """Where state and activations lie while their layer does not train.

    Attributes:
        store: "host" for memory, or a folder.
        window: Number of minibatches that a layer takes before the next one; None for the
            planner's choice.
        activations: Type in which s of float32 waits; None as it is.
    """

    store: Path | str = "host"
    window: int | None = None
    activations: torch.dtype | None = None

    def executor(
        self,
        net: Network,
        stage: Stage,
        *,
        stages: int | Sequence[int] | None,
        sample: Callable[[], Minibatch],
        stage_of: Callable[[Network], Stage],
    ) -> Offload:
        """Make the executor of a training run; see `make_executor`.

        Raises:
            InputError: The network is no network of layers, or a setting does not fit it.
        """
        if not all(isinstance(part, ALLayer) for part in stage.parts.values()):
            raise InputError(
                f"executor='offload' came for a {type(net).__name__}, whose layers need the "
                "gradients of those above them and so must all be in memory; expected a network "
                "in AL form: convert it, or train it with executor='sequential'."
            )
        count = len(stage.blocks)
        if stages is None:
            stages = count
        if isinstance(stages, int):
            stages = balanced([1.0] * count, stages)
        return Offload(
            net,
            stage.split(checked_sizes(stages, count)),
            net.store if isinstance(net, StoredNetwork) else self._store(stage),
            window=WINDOW if self.window is None else self.window,
            waiting=Waiting(dtype=self.activations),
            calls=net.calls if isinstance(net, StoredNetwork) else None,
        )

    def _store(self, stage: Stage) -> Store:
        if self.store == "host":
            return HostStore(stage.device)
        store = DiskStore(self.store, stage.device)
        try:
            store.check_fits(stage.parts)
        except CheckpointError:
            store.close()
            raise
        return store

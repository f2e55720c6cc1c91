"""What a user can set about training in which one layer at a time is in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch

from associated_learning.errors import CheckpointError, InputError
from associated_learning.layer import ALLayer
from associated_learning.network import Network
from associated_learning.pipeline.executor import Executor, Sequential
from associated_learning.pipeline.items import Minibatch
from associated_learning.pipeline.offload.disk_store import DiskStore
from associated_learning.pipeline.offload.executor import Offload
from associated_learning.pipeline.offload.layer_store import HostStore, Store
from associated_learning.pipeline.offload.measuring import (
    measure_layers,
    memory_in_use,
    room_on_disk,
)
from associated_learning.pipeline.offload.memory_plan import (
    MemoryPlan,
    bytes_of,
    make_memory_plan,
)
from associated_learning.pipeline.offload.recomputation import Recomputation
from associated_learning.pipeline.offload.store_speed import measure_store
from associated_learning.pipeline.offload.stored_network import StoredNetwork
from associated_learning.pipeline.offload.waiting import Waiting
from associated_learning.pipeline.planning.partition import balanced, checked_sizes
from associated_learning.pipeline.stage import Stage

__all__ = ["Offloading", "check_layers"]

WINDOW = 16  # where moving costs nothing, so that nothing has to be measured


@dataclass(frozen=True, kw_only=True)
class Offloading:
    """Where state and activations lie while their layer does not train.

    Attributes:
        store: "host" for memory, or a folder.
        window: Number of minibatches that a layer takes before the next one; None for the
            planner's choice.
        memory: What may be used, such as "2GiB": of the GPU, or by this process; None for no limit.
        activations: Type in which s of float32 waits; None as it is.
        recompute: Whether modules of encoders recompute their activations.
    """

    store: Path | str = "host"
    window: int | None = None
    memory: str | int | None = None
    activations: torch.dtype | None = None
    recompute: bool = False

    def executor(
        self,
        net: Network,
        stage: Stage,
        *,
        stages: int | Sequence[int] | None,
        sample: Callable[[], Minibatch],
    ) -> Executor:
        """Make the executor of a training run; see `make_executor`.

        Raises:
            InputError: The network is no network of layers, or a setting does not fit it.
        """
        check_layers(net, stage)
        split = stage.split(_sizes(stage, stages))
        own = net.store if isinstance(net, StoredNetwork) else None
        store = self._open(stage) if own is None else own
        try:
            chosen = self.memory is None and (self.window is not None or self.folder(own) is None)
            plan = None if chosen else self.plan(net, stage, sample, stages)
            if plan is not None and plan.whole and own is None:
                store.close()
                return Sequential(net, stage)
            if isinstance(store, DiskStore):
                store.require_room(room_on_disk(stage))
            return self._offload(net, split, store, plan)
        except BaseException:
            if own is None:
                store.close()
            raise

    def plan(
        self,
        net: Network,
        stage: Stage,
        sample: Callable[[], Minibatch],
        stages: int | Sequence[int] | None = None,
    ) -> MemoryPlan:
        """Measure the layers and the store, and choose the window.

        Args:
            net: The network.
            stage: All of it.
            sample: Returns a minibatch.
            stages: Number of parts that are moved as one, or how many layers each one has.

        Raises:
            InputError: Not even one layer fits into the memory that is given.
        """
        own = net.store if isinstance(net, StoredNetwork) else None
        with Recomputation(stage.blocks if self.recompute else []):
            layers = measure_layers(stage, sample(), own, _sizes(stage, stages))
        return make_memory_plan(
            layers,
            measure_store(self.folder(own), stage.device),
            limit=None if self.memory is None else bytes_of(self.memory),
            base=memory_in_use(stage),
            window=self.window,
            files=self.folder(own) is not None,
            stays=own is not None,
            apart=stage.device.type == "cuda",
        )

    @property
    def given(self) -> str:
        """The settings that were given, to be told; none where all are the defaults."""
        usual = Offloading()
        names = [one.name for one in fields(self)]
        return ", ".join(
            f"{name}={getattr(self, name)!r}"
            for name in names
            if getattr(self, name) != getattr(usual, name)
        )

    def folder(self, own: Store | None = None) -> Path | None:
        """Return the folder of the store; None for host memory."""
        if own is not None:
            return own.folder if isinstance(own, DiskStore) else None
        return None if self.store == "host" else Path(self.store)

    def _offload(
        self, net: Network, stages: Sequence[Stage], store: Store, plan: MemoryPlan | None
    ) -> Offload:
        window = WINDOW if self.window is None else self.window
        blocks = [block for stage in stages for block in stage.blocks]
        own = store.folder if isinstance(store, DiskStore) else None
        return Offload(
            net,
            stages,
            store,
            window=window if plan is None else plan.window,
            waiting=Waiting(
                store.device,
                folder=own if plan is not None and plan.in_files else None,
                dtype=self.activations,
            ),
            overlap=plan is None or plan.overlap,
            recomputation=Recomputation(blocks if self.recompute else []),
            calls=net.calls if isinstance(net, StoredNetwork) else None,
        )

    def _open(self, stage: Stage) -> Store:
        folder = self.folder()
        if folder is None:
            return HostStore(stage.device)
        store = DiskStore(folder, stage.device)
        try:
            store.check_fits(stage.parts)
            store.remove_stages()
        except CheckpointError:
            store.close()
            raise
        return store


def _sizes(stage: Stage, stages: int | Sequence[int] | None) -> Sequence[int]:
    """Return how many layers are moved as one; each of them is alone if nothing else is asked."""
    count = len(stage.blocks)
    if stages is None:
        stages = count
    if isinstance(stages, int):
        stages = balanced([1.0] * count, stages)
    return checked_sizes(stages, count)


def check_layers(net: Network, stage: Stage, came: str = "executor='offload'") -> None:
    """Raise InputError for a network whose layers must all be in memory at once."""
    if not all(isinstance(part, ALLayer) for part in stage.parts.values()):
        raise InputError(
            f"{came} came for a {type(net).__name__}, whose layers need the "
            "gradients of those above them and so must all be in memory; expected a network "
            "in AL form: convert it, or train it with executor='sequential'."
        )

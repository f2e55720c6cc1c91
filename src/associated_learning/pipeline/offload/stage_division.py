"""Which layers are a stage's, and where they are: a pipeline whose stages have a store each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch

from associated_learning.network import Network
from associated_learning.pipeline.items import Minibatch
from associated_learning.pipeline.offload.disk_store import stage_folder
from associated_learning.pipeline.offload.measuring import LayerNeeds, measure_layers, memory_in_use
from associated_learning.pipeline.offload.memory_plan import (
    MemoryPlan,
    bytes_of,
    make_memory_plan,
)
from associated_learning.pipeline.offload.recomputation import Recomputation
from associated_learning.pipeline.offload.settings import WINDOW, Offloading, check_layers
from associated_learning.pipeline.offload.stage_stores import StageStores
from associated_learning.pipeline.offload.store_speed import StoreSpeed, measure_store
from associated_learning.pipeline.offload.windowed_stage import StageResidence
from associated_learning.pipeline.planning.partition import balanced, checked_sizes
from associated_learning.pipeline.stage import Stage

__all__ = ["StageDivision"]

_WINDOWS = 2  # that of a stage, and the next one, which comes from below meanwhile


@dataclass(frozen=True, kw_only=True)
class StageDivision:
    """Divides the layers of a network among stages that have one of theirs at a time in memory.

    Attributes:
        offloading: What the user asked for.
        net: The network.
        stage: All of it.
        stages: Number of stages, or how many layers each one has.
        sample: Returns a minibatch, to measure what layers need.
        processes: Whether each stage is a process, which has the memory that is given for itself.
    """

    offloading: Offloading
    net: Network
    stage: Stage
    stages: int | Sequence[int]
    sample: Callable[[], Minibatch]
    processes: bool = False

    def place(self) -> tuple[list[int], StageStores]:
        """Return the number of layers of each stage, and where they are.

        Layers are measured only where something depends on it.

        Raises:
            InputError: The network is no network of layers, or one of them does not fit.
        """
        check_layers(self.net, self.stage, self.offloading.given)
        asked, folder = self.offloading, self.offloading.folder()
        known = asked.memory is None and (asked.window is not None or folder is None)
        if known and not self._must_balance():
            sizes = self._sizes(None)
            window = WINDOW if asked.window is None else asked.window
            return sizes, self._stores([self._at(i, window) for i in range(len(sizes))])
        plans = self.plans()
        sizes = [len(plan.layers) for plan in plans]
        found = [self._planned(i, plan) for i, plan in enumerate(plans)]
        return sizes, self._stores(found)

    def plans(self) -> list[MemoryPlan]:
        """Measure layers and store; return the plan of each stage.

        Raises:
            InputError: Not even one layer of a stage fits.
        """
        with Recomputation(self.stage.blocks if self.offloading.recompute else []):
            needs = measure_layers(self.stage, self.sample())
        sizes = self._sizes(needs)
        speed = measure_store(self.offloading.folder(), self.stage.device)
        base = memory_in_use(self.stage)
        ends, share = list(accumulate(sizes, initial=0)), self._share(len(sizes))
        return [
            self._plan(needs[begin:end], begin + 1, speed, base, share)
            for begin, end in pairwise(ends)
        ]

    def _share(self, count: int) -> int:
        """Return how many of the stages share the memory that is given."""
        gpus = torch.cuda.device_count() if self.stage.device.type == "cuda" else 1
        return 1 if self.processes else -(-count // gpus)

    def _plan(
        self, needs: Sequence[LayerNeeds], first: int, speed: StoreSpeed, base: int, share: int
    ) -> MemoryPlan:
        asked = self.offloading.memory
        limit = None if asked is None else bytes_of(asked)
        if limit is not None:  # what the other stages may use is not there for this one
            base = limit - (limit - base) // share
        return make_memory_plan(
            needs,
            speed,
            limit=limit,
            base=base,
            window=self.offloading.window,
            files=self.offloading.folder() is not None,
            apart=self.stage.device.type == "cuda",
            first=first,
            windows=_WINDOWS,
        )

    def _must_balance(self) -> bool:
        return isinstance(self.stages, int) and self.stages not in (1, len(self.stage.blocks))

    def _sizes(self, needs: Sequence[LayerNeeds] | None) -> list[int]:
        count = len(self.stage.blocks)
        if not isinstance(self.stages, int):
            return list(checked_sizes(self.stages, count))
        seconds = [1.0] * count if needs is None else [one.seconds for one in needs]
        return list(balanced(seconds, self.stages))

    def _stores(self, stages: Sequence[StageResidence]) -> StageStores:
        return StageStores(folder=self.offloading.folder(), stages=tuple(stages))

    def _planned(self, index: int, plan: MemoryPlan) -> StageResidence:
        return self._at(
            index, plan.window, overlap=plan.overlap, in_files=plan.in_files, whole=plan.whole
        )

    def _at(
        self,
        index: int,
        window: int,
        *,
        overlap: bool = True,
        in_files: bool = False,
        whole: bool = False,
    ) -> StageResidence:
        folder = self.offloading.folder()
        return StageResidence(
            folder=None if folder is None else str(stage_folder(folder, index + 1).absolute()),
            window=window,
            overlap=overlap,
            in_files=in_files,
            activations=self.offloading.activations,
            recompute=self.offloading.recompute,
            whole=whole,
        )

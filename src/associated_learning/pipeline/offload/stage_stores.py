"""Stages of a pipeline with a store each: which layers a stage has, and what it may hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from associated_learning.pipeline.offload.disk_store import DiskStore
from associated_learning.pipeline.offload.measuring import room_on_disk
from associated_learning.pipeline.offload.windowed_stage import StageResidence
from associated_learning.pipeline.stage import Stage

__all__ = ["StageStores"]

_GENERATIONS = 3  # that is written, the last whole one, and that of a snapshot under way


@dataclass(frozen=True, kw_only=True)
class StageStores:
    """Where the layers of all stages are while they do not train.

    Attributes:
        folder: In which each stage has a folder for its store; None for host memory.
        stages: Those of each stage.
    """

    folder: Path | None
    stages: tuple[StageResidence, ...]

    def of(self, number: int) -> StageResidence:
        """Return that of a stage, counted from 0; a stage without layers needs none."""
        return self.stages[number] if number < len(self.stages) else StageResidence(None, 1)

    @property
    def window(self) -> int:
        """The largest number of minibatches that any stage takes at a time."""
        return max(one.window for one in self.stages)

    @property
    def queued(self) -> int:
        """How many minibatches may wait before a stage, so that the one below need not wait."""
        return max((one.window for one in self.stages if not one.in_files), default=0)

    @contextmanager
    def opened(self, stages: Sequence[Stage]) -> Iterator[None]:
        """Hold the folder for this run inside the block; what is in it of other runs goes.

        Raises:
            CheckpointError: Another run has it open, or it is the store of another network.
            InputError: The disk has too little room, or the folder holds something else.
        """
        if self.folder is None:
            yield
            return
        store = DiskStore(self.folder, stages[0].device)
        try:
            for stage in stages:
                store.check_fits(stage.parts)
            store.require_room(sum(room_on_disk(stage, _GENERATIONS) for stage in stages))
            store.adopt({})
            store.commit()
            store.remove_stages(beyond=len(stages))
            yield
        finally:
            store.close()

"""A stage of a pipeline that has one of its layers at a time in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from associated_learning.errors import CheckpointError
from associated_learning.pipeline.items import (
    Item,
    Marker,
    Minibatch,
    Report,
    SnapshotReport,
    Trained,
)
from associated_learning.pipeline.offload.disk_store import DiskStore
from associated_learning.pipeline.offload.layer_files import files_of
from associated_learning.pipeline.offload.layer_store import HostStore, Store
from associated_learning.pipeline.offload.recomputation import Recomputation
from associated_learning.pipeline.offload.stored_layers import StoredLayers
from associated_learning.pipeline.offload.waiting import Kept, Waiting, as_it_was
from associated_learning.pipeline.stage import Stage
from associated_learning.pipeline.worker import Handler
from associated_learning.tensors.nested import tensors_in, to_device

__all__ = ["StageResidence", "WindowedStage", "resident"]


class StageResidence(NamedTuple):
    """Where the layers of a stage are while they do not train; it can be sent to processes.

    Attributes:
        folder: Of the stage's own store; None for host memory.
        window: Number of minibatches that a layer takes before the next one.
        overlap: Whether the next layer comes while one trains.
        in_files: Whether activations wait in mapped files.
        activations: Type in which s of float32 waits; None as it is.
        recompute: Whether modules of encoders recompute their activations.
        whole: Whether all layers are in memory, as those of other executors.
    """

    folder: str | None
    window: int
    overlap: bool = True
    in_files: bool = False
    activations: torch.dtype | None = None
    recompute: bool = False
    whole: bool = False


class WindowedStage:
    """Layers that train in one place, one at a time in memory, each on a window of minibatches.

    What it is sent are the items of a `Stage`, and so is what it hands on: it gathers minibatches
    until there is a window of them, or another item comes, and only then trains. Its layers are
    those of no other stage, and so is its store.

    Args:
        stage: The layers.
        store: Where they are while they do not train.
        window: Largest number of minibatches that a layer takes before the next one.
        waiting: Where activations are between two layers.
        overlap: Whether the next layer comes while one trains.
        rounds: Whether ``waiting`` rounds what waits, so that what is handed on is rounded too.
    """

    def __init__(
        self,
        stage: Stage,
        store: Store,
        *,
        window: int,
        waiting: Waiting,
        overlap: bool = True,
        rounds: bool = False,
    ) -> None:
        *lower, last = stage.split([1] * len(stage.blocks))
        layers = [*lower, replace(last, top=stage.top)]
        self._layers = StoredLayers(layers, store, waiting=waiting, overlap=overlap)
        self._store = store
        self._window = window
        self._waiting = waiting
        self._rounds = rounds
        self._gathered: list[Kept] = []

    def handled(self, item: Item) -> Iterator[tuple[Report, Item]]:
        """Yield the reports of items that are done now, and the items for the next stage."""
        if isinstance(item, Minibatch):
            self._gathered.append(self._waiting.put(self._received(item), exact=True))
            if len(self._gathered) == self._window:
                yield from self._pass()
            return
        yield from self._pass()
        if isinstance(item, Marker):
            yield self._mark(item), item
        else:
            yield item, item

    def begin(self) -> None:
        """Take the state of all layers into the store."""
        if not self._store.free:
            self._layers.residence.take_all()

    def end(self, *, failed: bool) -> None:
        """Give all layers their weights again, and give the store up.

        Args:
            failed: Whether something failed already, which is to be told and not what follows.
        """
        try:
            with contextlib.suppress(Exception) if failed else contextlib.nullcontext():
                self._layers.residence.give_all()
        finally:
            self._layers.residence.close()
            self._store.close()

    def _pass(self) -> Iterator[tuple[Trained, Minibatch]]:
        """Let all layers take what is gathered, one layer after the other."""
        kept, self._gathered = self._gathered, []
        if not kept:
            return
        for report, onward in self._layers.passed(kept, more=True):
            yield report, self._handed(onward)
        if self._store.files():
            self._layers.residence.commit()

    def _received(self, job: Minibatch) -> Minibatch:
        """Return a minibatch that comes from another GPU on this stage's own.

        From there it is copied in the order of this device, not of the one that it comes from.
        """
        device = self._store.device
        if device.type != "cuda" or not any(t.is_cuda for t in tensors_in((job.s, job.t))):
            return job
        s, t = to_device((job.s, job.t), device)
        return job._replace(s=s, t=t)

    def _handed(self, onward: Minibatch) -> Minibatch:
        """Return a minibatch as it waits for the next stage, in host memory."""
        device = self._store.device
        if device.type != "cuda" and not self._rounds:
            return onward
        handed = as_it_was(self._waiting.put(onward))
        if device.type == "cuda":  # it is read on another stream
            torch.cuda.synchronize(device)
        return handed

    def _mark(self, marker: Marker) -> SnapshotReport:
        """Take a snapshot of all layers that further training leaves alone."""
        report = self._layers.mark(marker)
        if not report.snapshot.files:
            return report._replace(snapshot=report.snapshot.copied())
        self._store.hold()
        return report


@contextlib.contextmanager
def resident(stage: Stage, residence: StageResidence | None) -> Iterator[Handler]:
    """Let a stage train inside the block with its layers where they are meant to be.

    A stage of a single layer needs no store: that layer is in memory all the time.

    Raises:
        CheckpointError: The store is in use, or of another network.
    """
    if residence is None:
        yield stage
        return
    with Recomputation(stage.blocks if residence.recompute else []):
        if residence.whole or len(stage.blocks) <= 1:
            yield stage
            return
        windowed = _windowed(stage, residence)
        windowed.begin()
        failed = True
        try:
            yield windowed
            failed = False
        except GeneratorExit:  # nobody wants more, which is how training ends
            failed = False
            raise
        finally:
            windowed.end(failed=failed)


def _windowed(stage: Stage, residence: StageResidence) -> WindowedStage:
    folder = None if residence.folder is None else Path(residence.folder)
    store = _opened(stage, folder)
    files = folder if residence.in_files else None
    return WindowedStage(
        stage,
        store,
        window=residence.window,
        waiting=Waiting(stage.device, folder=files, dtype=residence.activations),
        overlap=residence.overlap,
        rounds=residence.activations is not None,
    )


def _opened(stage: Stage, folder: Path | None) -> Store:
    if folder is None:
        return HostStore(stage.device)
    store = DiskStore(folder, stage.device)
    try:
        store.check_fits(stage.parts)
    except CheckpointError:
        store.close()
        raise
    store.forget_others(files_of(stage))
    return store

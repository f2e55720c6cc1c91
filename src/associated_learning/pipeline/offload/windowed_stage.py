"""A stage of a pipeline that has one of its layers at a time in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from associated_learning.errors import CheckpointError
from associated_learning.pipeline.executor import merged_updates
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
from associated_learning.pipeline.offload.residence import Residence
from associated_learning.pipeline.offload.stored_snapshot import stored_snapshot
from associated_learning.pipeline.offload.waiting import Kept, Waiting, as_it_was
from associated_learning.pipeline.stage import Stage
from associated_learning.pipeline.worker import Handler
from associated_learning.state.optimizers import advance
from associated_learning.state.snapshot import Snapshot, joined
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
        # what waits must not lie in the memory of a weight, which goes
        self._stages = [replace(one, copies=True) for one in (*lower, replace(last, top=stage.top))]
        self._store = store
        self._window = window
        self._waiting = waiting
        self._overlap = overlap
        self._rounds = rounds
        self._residence = Residence(self._stages, store)
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
            self._residence.take_all()

    def end(self, *, failed: bool) -> None:
        """Give all layers their weights again, and give the store up.

        Args:
            failed: Whether something failed already, which is to be told and not what follows.
        """
        try:
            with contextlib.suppress(Exception) if failed else contextlib.nullcontext():
                self._residence.give_all()
        finally:
            self._residence.close()
            self._store.close()

    def _pass(self) -> Iterator[tuple[Trained, Minibatch]]:
        """Let all layers take what is gathered, one layer after the other.

        Where a layer fails, those above it take what came before the failure.
        """
        kept, self._gathered = self._gathered, []
        if not kept:
            return
        if self._store.free:
            self._residence.take_all()
        waiting, last, failure = self._waiting, len(self._stages) - 1, None
        reports: list[list[Trained]] = [[] for _ in kept]
        for i in range(len(self._stages)):
            if not self._overlap:
                self._residence.settle()
            with self._residence.at(i, i + 1 if self._overlap and i < last else None) as stage:
                for k, job in enumerate(waiting.coming(tuple(kept))):
                    try:
                        report, onward = stage.train(job)
                    except Exception as error:
                        failure, kept, reports = error, kept[:k], reports[:k]
                        break
                    reports[k].append(report)
                    if i < last:
                        kept[k] = waiting.put(onward)
                    else:
                        yield merged_updates(reports[k]), self._handed(onward)
        if self._store.files():
            self._residence.commit()
        if self._overlap and not self._store.free:
            self._residence.expect(0)  # while the next window is gathered
        if failure is not None:
            raise failure

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
        optimizers = [one for stage in self._stages for one in stage.optimizers]
        rates = [0.0 if one is None else float(one.param_groups[0]["lr"]) for one in optimizers]
        if marker.advance:
            for stage in self._stages:
                advance(stage.schedulers, marker.record)
        return SnapshotReport(marker, rates, self._snapshot())

    def _snapshot(self) -> Snapshot:
        self._residence.settle()
        if self._store.free:
            self._residence.give_all()
            return joined(stage.snapshot() for stage in self._stages).copied()
        self._store.commit()
        snapshot = joined(stored_snapshot(stage, self._store) for stage in self._stages)
        if not snapshot.files:
            return snapshot.copied()
        self._store.hold()
        return snapshot


@contextlib.contextmanager
def resident(stage: Stage, residence: StageResidence | None) -> Iterator[Handler]:
    """Let a stage train inside the block with its layers where they are meant to be.

    A stage of a single layer needs no store: that layer is in memory all the time.

    Args:
        stage: The stage, with its weights; it has them again at the end.
        residence: Where its layers are; None for memory.

    Raises:
        CheckpointError: The store is in use, or of another network.
    """
    if residence is None:
        yield stage
        return
    recomputation = Recomputation(stage.blocks if residence.recompute else [])
    recomputation.begin()
    try:
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
    finally:
        recomputation.end()


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

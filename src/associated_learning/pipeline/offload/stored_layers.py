"""Layers of which one at a time is in memory: what takes a window of minibatches through them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from associated_learning.pipeline.executor import merged_updates
from associated_learning.pipeline.items import Marker, Minibatch, SnapshotReport, Trained
from associated_learning.pipeline.offload.layer_store import Store
from associated_learning.pipeline.offload.residence import Residence
from associated_learning.pipeline.offload.stored_snapshot import stored_snapshot
from associated_learning.pipeline.offload.waiting import Kept, Waiting
from associated_learning.pipeline.stage import Stage
from associated_learning.state.optimizers import advance
from associated_learning.state.snapshot import Snapshot, joined

__all__ = ["StoredLayers"]


class StoredLayers:
    """Consecutive stages, each in memory as a whole while it trains, and else in a store.

    Args:
        stages: From the input up.
        store: Where they are while they do not train.
        waiting: Where activations are between two of them.
        overlap: Whether the next one's state comes while one trains.

    Attributes:
        residence: Which of them are in memory.
    """

    def __init__(
        self, stages: Sequence[Stage], store: Store, *, waiting: Waiting, overlap: bool
    ) -> None:
        # what waits must not lie in the memory of a weight, which goes
        self._stages = [replace(stage, copies=True) for stage in stages]
        self._store = store
        self._waiting = waiting
        self._overlap = overlap
        self.residence = Residence(self._stages, store)

    def passed(
        self, kept: list[Kept], *, more: bool = False
    ) -> Iterator[tuple[Trained, Minibatch]]:
        """Let all stages take minibatches, one stage after the other; yield what comes out on top.

        Where a stage fails, those above it take what came before the failure, as they would have
        if every minibatch had passed all layers before the next one; then the failure is raised.

        Args:
            kept: The minibatches, as they wait; each is let go once it came.
            more: Whether others follow, so that the first stage comes while the last one trains.
        """
        if self._store.free:
            self.residence.take_all()
        failure, last = None, len(self._stages) - 1
        reports: list[list[Trained]] = [[] for _ in kept]
        for i in range(len(self._stages)):
            if not self._overlap:
                self.residence.settle()
            with self.residence.at(i, self._following(i, more)) as stage:
                for k, job in enumerate(self._waiting.coming(kept)):
                    try:
                        report, onward = stage.train(job)
                    except Exception as error:
                        failure, kept, reports = error, kept[:k], reports[:k]
                        break
                    reports[k].append(report)
                    if i < last:
                        kept[k] = self._waiting.put(onward)
                    else:
                        kept[k] = Kept(Minibatch(onward.step, None, None), ())
                        yield merged_updates(reports[k]), onward
        if failure is not None:
            raise failure

    def mark(self, marker: Marker) -> SnapshotReport:
        """Take a snapshot of all stages, which is what the store holds now."""
        optimizers = [one for stage in self._stages for one in stage.optimizers]
        rates = [0.0 if one is None else float(one.param_groups[0]["lr"]) for one in optimizers]
        if marker.advance:
            for stage in self._stages:
                advance(stage.schedulers, marker.record)
        return SnapshotReport(marker, rates, self._snapshot())

    def _following(self, i: int, more: bool) -> int | None:
        """Return the stage that comes while stage ``i`` trains, if one does."""
        if not self._overlap:
            return None
        if i < len(self._stages) - 1:
            return i + 1
        return 0 if more and not self._store.free else None

    def _snapshot(self) -> Snapshot:
        self.residence.settle()
        if self._store.free:
            self.residence.give_all()
            return joined(stage.snapshot() for stage in self._stages)
        self._store.commit()
        return joined(stored_snapshot(stage, self._store) for stage in self._stages)

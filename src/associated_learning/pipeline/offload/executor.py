"""The executor "offload": a layer trains on a window of minibatches, then the next layer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from associated_learning.errors import AssociatedLearningError, InputError
from associated_learning.network import ALNetwork, Network
from associated_learning.pipeline.clock import Clock, WallClock
from associated_learning.pipeline.executor import Executor, merged_updates
from associated_learning.pipeline.items import (
    Items,
    Marker,
    Minibatch,
    Reports,
    SnapshotReport,
    Trained,
)
from associated_learning.pipeline.offload.layer_store import Store
from associated_learning.pipeline.offload.lazy_layers import LazyLayers
from associated_learning.pipeline.offload.recomputation import Recomputation
from associated_learning.pipeline.offload.residence import Residence
from associated_learning.pipeline.offload.streamed_inference import StreamedNetwork
from associated_learning.pipeline.offload.waiting import Waiting
from associated_learning.pipeline.offload.window import windows
from associated_learning.pipeline.stage import Stage
from associated_learning.state.optimizers import advance
from associated_learning.state.snapshot import Snapshot, joined, stored_state

__all__ = ["Offload"]


class Offload(Executor):
    """One stage at a time is in memory and takes a window of minibatches; its outputs wait.

    It is the run in one process with its two loops interchanged: the same updates on the same
    inputs, so the same bits. State is moved once a window instead of once an update.

    Args:
        net: The network; its layers have their weights again when training ends.
        stages: All of its blocks, in order; each is in memory as a whole.
        store: Where the others are.
        window: Largest number of minibatches that a stage takes before the next one begins.
        waiting: Where activations are between two stages.
        overlap: Whether the next stage's state comes while one trains.
        recomputation: Of modules in the layers.
        calls: Fetches the layers of a network that stays in the store when training ends.

    Raises:
        InputError: The network is one of backpropagation, or there is no window.
    """

    synchronous = True

    def __init__(
        self,
        net: Network,
        stages: Sequence[Stage],
        store: Store,
        *,
        window: int,
        waiting: Waiting,
        overlap: bool = True,
        recomputation: Recomputation | None = None,
        calls: LazyLayers | None = None,
    ) -> None:
        if window < 1:
            raise InputError(f"window={window} came; expected at least 1 minibatch.")
        self._net = net
        # what waits must not lie in the memory of a weight, which goes
        self._stages = [replace(stage, copies=True) for stage in stages]
        self._store = store
        self._window = window
        self._waiting = waiting
        self._overlap = overlap
        self._recomputation = recomputation or Recomputation([])
        self._stays = calls is not None
        self._residence = Residence(self._stages, store)
        self._calls = calls

    def run(self, items: Items) -> Reports:
        with self._offloaded():
            for jobs, marker, error in windows(items, self._window):
                passed = self._pass(jobs)
                yield from passed.reports
                failure = passed.error or error
                if failure is not None:
                    raise failure
                if marker is not None:
                    yield self._mark(marker)
                    continue
                if self._store.files():  # a window whose state is in files is as good as saved
                    yield self._mark(Marker())
                if self._overlap and not self._store.free:
                    self._residence.expect(0)  # while minibatches are made

    def network(self, snapshot: Snapshot) -> Network:
        if self._calls is None or type(self._net).exits is not ALNetwork.exits:
            return self._net
        assert isinstance(self._net, ALNetwork)
        return StreamedNetwork(self._net, self._calls, window=self._window)

    def load_last_snapshot(self) -> None:
        pass  # it never goes on before a report is read

    def clock(self) -> Clock:
        return WallClock()

    @contextlib.contextmanager
    def _offloaded(self) -> Iterator[None]:
        """Keep the state of all layers in the store inside the block."""
        if self._calls is not None:
            self._calls.drop()
        if not self._store.free:
            self._residence.take_all()
            if self._calls is None:
                parts = {name: part for stage in self._stages for name, part in stage.parts.items()}
                self._calls = LazyLayers(parts, self._store)
            self._calls.settle = self._residence.settle
        failed = True
        self._recomputation.begin()
        try:
            yield
            failed = False
        except GeneratorExit:  # nobody wants more, which is how training ends
            failed = False
            raise
        finally:
            self._recomputation.end()
            first_error_tells = contextlib.suppress(AssociatedLearningError)
            with first_error_tells if failed else contextlib.nullcontext():
                self._come_home()
            self._residence.close()
            if not self._stays:
                self._store.close()

    def _come_home(self) -> None:
        self._residence.settle()
        if self._calls is not None:
            self._calls.drop()
            self._calls.settle = None
        if not self._stays:
            if self._calls is not None:
                self._calls.close()
                self._calls = None
            self._residence.give_all()

    def _pass(self, jobs: Sequence[Minibatch]) -> _Passed:
        """Let all stages take the minibatches, one stage after the other.

        Where a stage fails, those above it take what came before the failure, as they would have
        if every minibatch had passed all layers before the next one.
        """
        if not jobs:
            return _Passed([], None)
        if self._store.free:
            self._residence.take_all()
        if self._calls is not None:
            self._calls.drop()
        waiting, failure = self._waiting, None
        kept = [waiting.put(job, exact=True) for job in jobs]
        reports: list[list[Trained]] = [[] for _ in jobs]
        for i in range(len(self._stages)):
            following = i + 1 if self._overlap and i + 1 < len(self._stages) else None
            if not self._overlap:
                self._residence.settle()
            with self._residence.at(i, following) as stage:
                for k, job in enumerate(waiting.coming(tuple(kept))):
                    try:
                        report, onward = stage.train(job)
                    except Exception as error:
                        failure, kept, reports = error, kept[:k], reports[:k]
                        break
                    reports[k].append(report)
                    kept[k] = waiting.put(onward)
        return _Passed([merged_updates(one) for one in reports], failure)

    def _mark(self, marker: Marker) -> SnapshotReport:
        """Take a snapshot of all stages, which is what the store holds now."""
        optimizers = [one for stage in self._stages for one in stage.optimizers]
        rates = [0.0 if one is None else float(one.param_groups[0]["lr"]) for one in optimizers]
        if marker.advance:
            for stage in self._stages:
                advance(stage.schedulers, marker.record)
        self._residence.settle()
        if self._store.free:
            self._residence.give_all()
            return SnapshotReport(marker, rates, joined(s.snapshot() for s in self._stages))
        self._store.commit()
        return SnapshotReport(marker, rates, joined(map(self._stored, self._stages)))

    def _stored(self, stage: Stage) -> Snapshot:
        """Return the snapshot of a stage whose tensors are in the store."""
        live = Snapshot.of({}, stage.optimizers, stage.schedulers)
        files = self._store.files()
        look, numbers = self._store.look, range(stage.first, stage.first + len(stage.blocks))
        return live._replace(
            weights={name: look(name) for name in stage.parts},
            optimizers=[
                None
                if state is None
                else stored_state(state, {} if files else look(f"optimizer-{i}"))
                for i, state in zip(numbers, live.optimizers, strict=True)
            ],
            files=files,
        )


class _Passed(NamedTuple):
    """What came of a window.

    Attributes:
        reports: One for each minibatch that passed all stages.
        error: What the minibatch after them failed with, if any.
    """

    reports: list[Trained]
    error: BaseException | None

"""The executor "offload": a layer trains on a window of minibatches, then the next layer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from associated_learning.errors import AssociatedLearningError, InputError
from associated_learning.network import ALNetwork, Network
from associated_learning.pipeline.clock import Clock, WallClock
from associated_learning.pipeline.executor import Executor
from associated_learning.pipeline.items import (
    Items,
    Minibatch,
    Reports,
    Trained,
)
from associated_learning.pipeline.offload.layer_store import Store
from associated_learning.pipeline.offload.lazy_layers import LazyLayers
from associated_learning.pipeline.offload.recomputation import Recomputation
from associated_learning.pipeline.offload.stored_layers import StoredLayers
from associated_learning.pipeline.offload.streamed_inference import StreamedNetwork
from associated_learning.pipeline.offload.waiting import Waiting
from associated_learning.pipeline.offload.window import marked, windows
from associated_learning.pipeline.stage import Stage
from associated_learning.state.snapshot import Snapshot

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
        self._parts = {name: part for stage in stages for name, part in stage.parts.items()}
        self._store = store
        self._window = window
        self._waiting = waiting
        self._recomputation = recomputation or Recomputation([])
        self._stays = calls is not None
        self._layers = StoredLayers(stages, store, waiting=waiting, overlap=overlap)
        self._residence = self._layers.residence
        self._calls = calls

    def run(self, items: Items) -> Reports:
        with self._offloaded():
            # a window whose state is in files is as good as saved
            ours = marked(items, self._window) if self._store.files() else items
            for jobs, marker, error in windows(ours, self._window):
                passed = self._pass(jobs, more=marker is None and error is None)
                yield from passed.reports
                failure = passed.error or error
                if failure is not None:
                    raise failure
                if marker is not None:
                    yield self._layers.mark(marker)

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
        failed = True
        try:
            if self._calls is not None:
                self._calls.drop()
            if not self._store.free:
                self._residence.take_all()
                if self._calls is None:
                    self._calls = LazyLayers(self._parts, self._store)
                self._calls.settle = self._residence.settle
            with self._recomputation:
                yield
            failed = False
        except GeneratorExit:  # nobody wants more, which is how training ends
            failed = False
            raise
        finally:
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

    def _pass(self, jobs: list[Minibatch], *, more: bool) -> _Passed:
        """Let all stages take the minibatches, of which the list is left empty.

        Reports are told when nothing trains any more.
        """
        if not jobs:
            return _Passed([], None)
        if self._calls is not None:
            self._calls.drop()
        found = []
        try:
            kept = [self._waiting.put(job, exact=True) for job in jobs]
            jobs.clear()  # else all inputs would be there until the last layer has trained
            for report, _ in self._layers.passed(kept, more=more):
                found.append(report)
        except Exception as error:
            return _Passed(found, error)
        return _Passed(found, None)


class _Passed(NamedTuple):
    """What came of a window.

    Attributes:
        reports: One for each minibatch that passed all stages.
        error: What the minibatch after them failed with, if any.
    """

    reports: list[Trained]
    error: BaseException | None

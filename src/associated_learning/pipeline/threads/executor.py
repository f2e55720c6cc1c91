"""Stages of one process, a thread each: all of them work at the same time."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch

from associated_learning.network import Network
from associated_learning.pipeline.channel import Channel
from associated_learning.pipeline.executor import Executor, read_reports
from associated_learning.pipeline.interrupt import Interrupt
from associated_learning.pipeline.items import (
    Item,
    Items,
    Report,
    Reports,
)
from associated_learning.pipeline.last_weights import LastWeights, SnapshotWeights
from associated_learning.pipeline.offload.lazy_weights import LazyLastWeights
from associated_learning.pipeline.offload.stage_stores import StageStores
from associated_learning.pipeline.offload.windowed_stage import resident
from associated_learning.pipeline.stage import Stage
from associated_learning.pipeline.threads.devices import placed
from associated_learning.pipeline.worker import Handler, feed, join, work
from associated_learning.state.snapshot import Snapshot
from associated_learning.tensors.randomness.thread_rng import thread_seeded

__all__ = ["Threads"]

QUEUED = 2  # batches that wait before a stage: enough to even out what varies from batch to batch
UNREAD = 2  # snapshots under way
UNREAD_STORED = 1  # where each is another generation of the state in a store
_LAST_WORDS = 3.0  # seconds that threads have to end after a second Ctrl-C
_TURN = 1e-4  # seconds after which a thread that computes in Python lets another one go on


class Threads(Executor):
    """Every stage has a thread; batches go from one to the next through bounded queues.

    torch gives up Python's lock while it computes, so that threads do run at the same time.
    The threads that torch computes with inside of an operation are divided among the stages on
    a CPU: at least one each. With several GPUs, stages are spread over them in order.

    Args:
        net: The network; its blocks train in place.
        stages: All of its blocks, in order.
        contexts: What each stage's thread works in, such as a CUDA stream.
        stores: Where the layers of each stage are while they do not train; None for memory.
    """

    def __init__(
        self,
        net: Network,
        stages: Sequence[Stage],
        contexts: Sequence[AbstractContextManager[object]] | None = None,
        stores: StageStores | None = None,
    ) -> None:
        self._stages = [_alone(stage) for stage in stages]
        self._contexts = contexts or [nullcontext()] * len(stages)
        self._stores = stores
        self._weights: SnapshotWeights = (
            LastWeights(net) if stores is None else LazyLastWeights(net, window=stores.window)
        )
        self._interrupt = Interrupt()

    def watch_interrupt(self, interrupt: Interrupt) -> None:
        self._interrupt = interrupt

    def network(self, snapshot: Snapshot) -> Network:
        return self._weights.network(snapshot)

    def load_last_snapshot(self) -> None:
        self._weights.load_last_snapshot()

    def run(self, items: Items) -> Reports:
        stored = self._stores
        queued = QUEUED if stored is None else max(QUEUED, stored.queued)
        inboxes: list[Channel[Item]] = [Channel(queued) for _ in self._stages]
        reports: list[Channel[Report]] = [Channel(None) for _ in self._stages]
        unread: Channel[None] = Channel(UNREAD if stored is None else UNREAD_STORED)
        everything: list[Channel[Any]] = [unread, *inboxes, *reports]
        with (
            _short_turns(),
            _divided_threads(len(self._stages)),
            placed(self._stages) as stages,
            _handlers(stages, stored) as handlers,
        ):
            threads = [_started("feeder", feed, items, inboxes[0], unread)]
            ends = zip(inboxes, [*inboxes[1:], None], reports, strict=True)
            works = zip(stages, handlers, self._contexts, ends, strict=True)
            for stage, handler, context, channels in works:
                name = f"stage from layer {stage.first}"
                threads.append(_started(name, _work_in, context, handler, *channels))
            try:
                yield from self._weights.of(read_reports(reports, unread))
            finally:
                for channel in everything:
                    channel.close()
                self._end(threads)

    def _end(self, threads: Sequence[threading.Thread]) -> None:
        """Wait for threads; after a second Ctrl-C not for those that hang."""
        left = join(threads, _LAST_WORDS if self._interrupt.insisted else None)
        if left:
            names = ", ".join(thread.name for thread in left)
            warnings.warn(
                f"after a second Ctrl-C, something goes on in the background ({names}): it hangs, "
                "and Python cannot end a thread. End the process.",
                stacklevel=2,
            )


@contextmanager
def _handlers(stages: Sequence[Stage], stores: StageStores | None) -> Iterator[list[Handler]]:
    """Let the layers of stages be where they are meant to be inside the block."""
    if stores is None:
        yield list(stages)
        return
    with ExitStack() as stack:
        stack.enter_context(stores.opened(stages))
        yield [
            stack.enter_context(resident(stage, own))
            for stage, own in zip(stages, stores.stages, strict=True)
        ]


def _alone(stage: Stage) -> Stage:
    """Let a stage draw its own random numbers, and give away nothing that it goes on changing."""
    return replace(stage, copies=True, rule=replace(stage.rule, randomness=thread_seeded))


@contextmanager
def _divided_threads(stages: int) -> Iterator[None]:
    """Give every stage its share of torch's threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before // stages))
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _short_turns() -> Iterator[None]:
    """Share Python's lock in short turns inside the block: stages need it often, but briefly."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, _TURN))
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _work_in(context: AbstractContextManager[object], handler: Handler, *channels: Any) -> None:
    with context:
        work(handler, *channels)


def _started(name: str, function: Callable[..., None], *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=function, args=arguments, name=name, daemon=True)
    thread.start()
    return thread

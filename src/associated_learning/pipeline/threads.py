"""Stages of one process, a thread each: all of them work at the same time."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from typing import Any

from associated_learning.network import Network
from associated_learning.pipeline.channel import Channel
from associated_learning.pipeline.executor import Executor, merged
from associated_learning.pipeline.items import (
    End,
    Failure,
    Item,
    Items,
    Passed,
    Report,
    Reports,
)
from associated_learning.pipeline.stage import Stage
from associated_learning.pipeline.worker import feed, work
from associated_learning.snapshot import Snapshot

__all__ = ["Threads"]

QUEUED = 2  # batches that wait before a stage: enough to even out what varies from batch to batch
UNREAD = 2  # snapshots under way


class Threads(Executor):
    """Every stage has a thread; batches go from one to the next through bounded queues.

    torch gives up Python's lock while it computes, so that threads do run at the same time.

    Args:
        net: The network; its blocks train in place.
        stages: All of its blocks, in order.
    """

    def __init__(self, net: Network, stages: Sequence[Stage]) -> None:
        self._stages = stages
        self._net = net
        self._copy = copy.deepcopy(net)
        self._last: Snapshot | None = None

    def network(self, snapshot: Snapshot) -> Network:
        _load(self._copy, snapshot)
        return self._copy

    def settle(self) -> None:
        if self._last is not None:
            _load(self._net, self._last)

    def run(self, items: Items) -> Reports:
        inboxes: list[Channel[Item]] = [Channel(QUEUED) for _ in self._stages]
        reports: list[Channel[Report]] = [Channel(None) for _ in self._stages]
        unread: Channel[None] = Channel(UNREAD)
        threads = [_started("feeder", feed, items, inboxes[0], unread)]
        for i, stage in enumerate(self._stages):
            outbox = inboxes[i + 1] if i + 1 < len(inboxes) else None
            threads.append(_started(f"stage {i + 1}", work, stage, inboxes[i], outbox, reports[i]))
        try:
            for report in read(reports, unread):
                if isinstance(report, Passed):
                    self._last = report.snapshot
                yield report
        finally:
            closed: Sequence[Channel[Any]] = (unread, *inboxes, *reports)
            for channel in closed:
                channel.close()
            for thread in threads:
                thread.join()


def read(reports: Sequence[Channel[Report]], unread: Channel[None]) -> Reports:
    """Yield the joined reports of all stages, one for each item, until `End`.

    Raises:
        BaseException: What a `Failure` tells.
    """
    while True:
        report = merged([channel.get() for channel in reports])
        if isinstance(report, Failure):
            raise report.error
        if isinstance(report, End):
            return
        yield report
        if isinstance(report, Passed):
            unread.get()


def _load(net: Network, snapshot: Snapshot) -> None:
    for name, part in net.parts().items():
        part.load_state_dict(snapshot.weights[name])


def _started(name: str, function: Callable[..., None], *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=function, args=arguments, name=name, daemon=True)
    thread.start()
    return thread

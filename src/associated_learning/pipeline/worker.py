"""The loops that threads run: one makes the items, one each takes them through a stage."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from associated_learning.pipeline.channel import Channel, Closed, Inlet
from associated_learning.pipeline.items import End, Failure, Item, Items, Marker, Report

__all__ = ["Handler", "feed", "join", "work"]

_LONGEST_END = 1.0  # seconds


class Handler(Protocol):
    """What trains layers by items: a `Stage`, at once, or one that gathers some of them first."""

    def handled(self, item: Item) -> Iterator[tuple[Report, Item]]:
        """Yield, for items that are done now, the report and the item for the next stage."""


def feed(items: Items, first: Inlet[Item], unread: Channel[None]) -> None:
    """Put items into the channel of the first stage, then `End` or `Failure`.

    Args:
        items: What to send through the stages.
        first: Where they go.
        unread: Holds an entry for every marker under way, so that snapshots that nobody has
            looked at yet cannot fill the memory. Closing it ends the feeding.
    """
    last: Item = End()
    try:
        for item in items:
            # asked for every item, so that a closed channel ends the feeding at once
            unread.put(None) if isinstance(item, Marker) else unread.check()
            first.put(item)
    except Closed:
        pass
    except BaseException as error:
        last = Failure(error)
    finally:
        with suppress(Exception):  # what closed the channel: nobody listens any more
            first.put(last)
        items.close()  # here, because it may hold the workers of a DataLoader


def work(
    stage: Handler, inbox: Channel[Item], outbox: Channel[Item] | None, reports: Channel[Report]
) -> BaseException | None:
    """Take every item of ``inbox`` through a stage, hand it on, and report on it.

    A stage that fails reports it in its place after all that it did before, and so do the stages
    above it: what they had under way is finished and reported.

    Returns:
        What failed here or below; None at a good end.
    """
    try:
        while True:
            for report, onward in _outcomes(stage, inbox.get()):
                if outbox is not None:
                    outbox.put(onward)
                reports.put(report)
                if isinstance(report, (End, Failure)):
                    inbox.close()
                    return report.error if isinstance(report, Failure) else None
    except Closed:
        return None  # nobody listens any more


def _outcomes(stage: Handler, item: Item) -> Iterator[tuple[Report, Item]]:
    try:
        yield from stage.handled(item)
    except GeneratorExit:
        raise
    except BaseException as error:
        yield Failure(error), Failure(error)


def join(
    threads: Iterable[threading.Thread], patience: float | None = None
) -> list[threading.Thread]:
    """Wait for the end of threads, also for what the system does after Python is done with them.

    There torch lets go of objects of the thread's, for which it needs Python's lock. Would Python
    shut down at that moment, the process would abort.

    Args:
        threads: Started ones.
        patience: Seconds to wait for all of them at most; None for as long as it takes.

    Returns:
        Those that have not ended.
    """
    deadline = None if patience is None else time.monotonic() + patience
    left = []
    for thread in threads:
        thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            left.append(thread)
            continue
        task, end = Path(f"/proc/self/task/{thread.native_id}"), time.monotonic() + _LONGEST_END
        while task.exists() and time.monotonic() < end:
            time.sleep(0.0005)
    return left

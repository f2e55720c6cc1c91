"""What runs the stages of a network: one interface, whatever the number of threads or ranks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from associated_learning.network import Network
from associated_learning.pipeline.channel import Channel
from associated_learning.pipeline.clock import Clock, StageClock, WallClock
from associated_learning.pipeline.interrupt import Interrupt
from associated_learning.pipeline.items import (
    End,
    Failure,
    Items,
    Report,
    Reports,
    SnapshotReport,
    Trained,
)
from associated_learning.pipeline.stage import Stage
from associated_learning.state.snapshot import Snapshot, joined

__all__ = ["Executor", "Sequential", "merged", "merged_updates", "read_reports"]


class Executor(ABC):
    """Sends items through the stages of a network, and tells what came of them, in order.

    Attributes:
        synchronous: Whether nothing trains while a report is looked at.
    """

    synchronous = False

    @abstractmethod
    def run(self, items: Items) -> Reports:
        """Send the items through all stages and yield one report for each.

        Closing the iterator ends training; it comes to rest after what is under way.

        Raises:
            AssociatedLearningError: What a stage, or what makes the items, raised.
        """

    @abstractmethod
    def network(self, snapshot: Snapshot) -> Network:
        """Return a network with the weights of a snapshot, to be evaluated."""

    @abstractmethod
    def load_last_snapshot(self) -> None:
        """Leave the network with the weights of the last snapshot, if it went on beyond it."""

    def clock(self) -> Clock:
        """Return what tells the training time of every batch."""
        return StageClock()

    def watch_interrupt(self, interrupt: Interrupt) -> None:  # noqa: B027  # most run in one process
        """Let an interrupt that reaches any process of the run count."""

    def finish(self, outcome: dict[str, Any] | None) -> None:  # noqa: B027  # most have nobody to tell
        """Tell all ranks how training ended, as JSON-able values; None if it was interrupted."""


class Sequential(Executor):
    """Every minibatch passes all layers before the next one begins: one thread, no copies."""

    synchronous = True

    def __init__(self, net: Network, stage: Stage) -> None:
        self._net = net
        self._stage = stage

    def run(self, items: Items) -> Reports:
        for item in items:
            report, _ = self._stage.handle(item)
            assert isinstance(report, (Trained, SnapshotReport))
            yield report

    def network(self, snapshot: Snapshot) -> Network:
        return self._net  # which stands still while a report is looked at

    def load_last_snapshot(self) -> None:
        pass  # it never goes on before a report is read

    def clock(self) -> Clock:
        return WallClock()  # so that making the batches counts too, and validation does not


def merged(reports: Sequence[Report]) -> Report:
    """Join what all stages report of one item, in the order of the stages.

    A `Failure` of any of them is that of all.
    """
    for report in reports:
        if isinstance(report, (Failure, End)):
            return report
    trained = [report for report in reports if isinstance(report, Trained)]
    if trained:
        return merged_updates(trained)
    marked = [report for report in reports if isinstance(report, SnapshotReport)]
    rates = [rate for report in marked for rate in report.rates]
    return SnapshotReport(marked[0].marker, rates, joined(report.snapshot for report in marked))


def merged_updates(reports: Sequence[Trained]) -> Trained:
    """Join what all stages report of one minibatch, in the order of the stages."""
    losses = [terms for report in reports for terms in report.losses]
    times = [time for report in reports for time in report.times]
    return Trained(reports[0].step, losses, times)


def read_reports(
    reports: Sequence[Channel[Report]],
    unread: Channel[None],
    join: Callable[[Sequence[Report]], Report] = merged,
) -> Reports:
    """Yield the joined reports of all stages, one for each item, until `End`.

    Raises:
        BaseException: What a `Failure` tells.
    """
    while True:
        report = join([channel.get() for channel in reports])
        if isinstance(report, Failure):
            raise report.error
        if isinstance(report, End):
            return
        yield report
        if isinstance(report, SnapshotReport):
            unread.get()

"""A stretch of a training in which the network stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

from torch import nn

from associated_learning.network import Network
from associated_learning.pipeline.executor import Executor
from associated_learning.pipeline.items import Marker, SnapshotReport, Trained
from associated_learning.state.checkpointer import Checkpointer
from associated_learning.state.training_state import EpochRecord, TrainingState
from associated_learning.training.batch_stream import BatchStream, set_modes
from associated_learning.training.callbacks import Callback

__all__ = ["Segment"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Segment:
    """Takes account of what an executor reports, from where training stands to the segment's end.

    Attributes:
        net: The network.
        frozen_modules: Modules that are left as they are.
        state: Where training stands; it is kept up to date.
        stream: The minibatches and markers.
        executor: What trains on them.
        listener: Told about every batch and epoch.
        checkpointer: Saves what markers bring.
        end_epoch: Validates, and returns the record of the epoch that a report ends.
        is_due: Tells whether the network must change before it trains on.
    """

    net: Network
    frozen_modules: Sequence[nn.Module]
    state: TrainingState
    stream: BatchStream
    executor: Executor
    listener: Callback
    checkpointer: Checkpointer
    end_epoch: Callable[[SnapshotReport], EpochRecord]
    is_due: Callable[[], bool]

    def follow(self) -> None:
        """Let the executor train, and take account of every batch and marker in their order.

        Raises:
            KeyboardInterrupt: Somebody asked to stop; what is trained is saved.
        """
        state, stream, executor = self.state, self.stream, self.executor
        items = stream.items(epoch=state.epoch, batch=state.batch, step=state.step)
        with closing(executor.run(items)) as reports, closing(stream.validated):
            clock = executor.clock()
            for report in reports:
                if isinstance(report, Trained):
                    state.add_batch(report.losses, clock.lap(report))
                    self.listener.stages_done(report.step, report.times)
                    self.listener.batch_done(state, report.losses)
                else:
                    self._pass_marker(report)
                    if self._is_over(report.marker):
                        break
                    if executor.synchronous:
                        set_modes(self.net, self.frozen_modules)  # whatever callbacks did
                    if stream.waits:
                        clock = executor.clock()  # training stood still
                    clock.go_on()
        executor.load_last_snapshot()

    def _pass_marker(self, report: SnapshotReport) -> None:
        record = report.marker.record
        if report.marker.epoch_end:
            record = self.end_epoch(report)
            if self.stream.waits:
                self.stream.validated.put(record)
                return  # the next marker comes when the learning rates have followed it
        self.checkpointer.save_last(report.snapshot, self.state, due=self._must_save(report.marker))
        if record is None:
            return
        self.listener.epoch_done(self.state, record)
        if self.state.stop_requested and not self.state.stopped:
            self.state.stopped = True  # and so it is after a kill
            self.checkpointer.save_last(report.snapshot, self.state, due=True)

    def _must_save(self, marker: Marker) -> bool:
        """Return whether a marker is no plain end of an epoch, with another one to come."""
        ends = self.state.stopped or self.state.epoch >= self.stream.epochs
        return not marker.epoch_end or marker.last or ends or self.is_due()

    def _is_over(self, marker: Marker) -> bool:
        """Return whether the segment ends at a marker; KeyboardInterrupt if asked to stop."""
        if marker.last:
            raise KeyboardInterrupt
        ends = self.state.stopped or self.is_due()
        return ends and not (marker.epoch_end and self.stream.waits)

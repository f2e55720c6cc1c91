"""What flows through the stages of a pipeline, and what each stage reports of it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple, TypeAlias

from associated_learning.state.snapshot import Snapshot
from associated_learning.state.training_state import EpochRecord, StageTime

__all__ = [
    "End",
    "Failure",
    "Item",
    "Items",
    "Marker",
    "Minibatch",
    "Report",
    "Reports",
    "SnapshotReport",
    "Trained",
]


class Minibatch(NamedTuple):
    """A minibatch on its way through the layers.

    Attributes:
        step: Number of the weight update, from 0.
        s: ``s_{i-1}`` for the stage that begins with layer i; a batch of inputs at first.
        t: ``t_{i-1}``, ``[B, D_{i-1}]``.
        shares: None; or where gradients of several minibatches make one update, the share of each
            in it, and then s and t are tuples of theirs.
    """

    step: int
    s: Any
    t: Any
    shares: tuple[float, ...] | None = None

    def first(self) -> tuple[Any, Any]:
        """Return s and t of the minibatch, or of the first of those that make the update."""
        return (self.s, self.t) if self.shares is None else (self.s[0], self.t[0])


class Marker(NamedTuple):
    """Travels between two minibatches; every stage takes a snapshot of itself as it passes.

    So the shares of all stages are those of the same update, though no stage ever waits for
    another: together they are what training in one process holds at that moment.

    Attributes:
        epoch_end: Whether an epoch ends here.
        advance: Whether learning rates that follow epochs change here, before the snapshot.
        record: The epoch that such rates may depend on.
        last: Whether it ends the run, because somebody asked to stop.
    """

    epoch_end: bool = False
    advance: bool = False
    record: EpochRecord | None = None
    last: bool = False


class End(NamedTuple):
    """Nothing comes any more."""


class Failure(NamedTuple):
    """A stage, or what makes the batches, failed: nothing comes any more.

    Attributes:
        error: Why.
    """

    error: BaseException


class Trained(NamedTuple):
    """A stage's, or all stages', report of a `Minibatch`.

    Attributes:
        step: Number of the weight update.
        losses: The losses by name, one dict for each block.
        times: When each stage worked on it.
    """

    step: int
    losses: list[dict[str, float]]
    times: list[StageTime]


class SnapshotReport(NamedTuple):
    """A stage's, or all stages', report of a `Marker`.

    Attributes:
        marker: The marker.
        rates: The learning rate of each block before the marker; 0 for a frozen one.
        snapshot: The state after it.
    """

    marker: Marker
    rates: list[float]
    snapshot: Snapshot


Item: TypeAlias = Minibatch | Marker | End | Failure
Items: TypeAlias = Generator[Item, None, None]
Report: TypeAlias = Trained | SnapshotReport | End | Failure
Reports: TypeAlias = Generator[Trained | SnapshotReport, None, None]

"""Stages in processes: each rank trains one, and rank 0 also makes the batches and keeps account.

A batch travels from rank to rank, never back. Beside that, every rank reports to rank 0, and rank
0 sends every rank its state before a segment of the training, and the outcome after the last one.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch.distributed.device_mesh import init_device_mesh

from associated_learning.errors import AssociatedLearningError
from associated_learning.network import Network
from associated_learning.pipeline.channel import Channel, Inlet
from associated_learning.pipeline.executor import Executor, merged, read_reports
from associated_learning.pipeline.interrupt import Interrupt, passed_on_interrupts
from associated_learning.pipeline.items import (
    End,
    Failure,
    Item,
    Items,
    Report,
    Reports,
    SnapshotReport,
)
from associated_learning.pipeline.last_weights import LastWeights, SnapshotWeights
from associated_learning.pipeline.offload.lazy_weights import LazyLastWeights
from associated_learning.pipeline.offload.stage_stores import StageStores
from associated_learning.pipeline.offload.stored_snapshot import found_here
from associated_learning.pipeline.offload.windowed_stage import StageResidence
from associated_learning.pipeline.processes.connections import Connections
from associated_learning.pipeline.processes.crew import Crew, opened_connections
from associated_learning.pipeline.processes.own_layers import (
    TellsFiles,
    own_layers,
    return_memory,
)
from associated_learning.pipeline.processes.rendezvous import Ranks
from associated_learning.pipeline.processes.replication import averaged, replicated, shard
from associated_learning.pipeline.processes.transport import abort
from associated_learning.pipeline.stage import Stage
from associated_learning.pipeline.worker import Handler, feed, join, work
from associated_learning.state.snapshot import Snapshot
from associated_learning.tensors.devices import device_of
from associated_learning.tensors.hollow import give_memory, weights_of
from associated_learning.tensors.randomness.thread_rng import thread_seeded

__all__ = ["Processes", "follow"]

_UNREAD = 2  # snapshots under way
_UNREAD_STORED = 1  # where each is another generation of the state in a store
_LAST_WORDS = 3.0  # seconds that a stage has to end after a failure


class _Segment(NamedTuple):
    """What rank 0 tells each other rank before training, and again where the network changes."""

    depth: int
    frozen: int
    sizes: Sequence[int]
    state: Snapshot
    residence: StageResidence | None


class _Outcome(NamedTuple):
    """What rank 0 tells the other ranks after training."""

    weights: dict[str, Any]
    outcome: dict[str, Any] | None


class Processes(Executor):
    """Rank 0 of a pipeline of processes: its first stage, and what all of them report to.

    Args:
        crew: The processes.
        net: The network.
        stage: The whole of it as one stage, in the state to start from.
        sizes: Number of blocks of each stage; 0 for ranks that have none yet.
        stores: Where the layers of each stage are while they do not train; None for memory.
    """

    def __init__(
        self,
        crew: Crew,
        net: Network,
        stage: Stage,
        sizes: Sequence[int],
        stores: StageStores | None = None,
    ) -> None:
        self._net = net
        self._stores = stores
        self._weights: SnapshotWeights = (
            LastWeights(net) if stores is None else LazyLastWeights(net, window=stores.window)
        )
        self._ranks, self._replicas, self._connections = crew.ranks, crew.replicas, crew.connections
        self._control = crew.control
        frozen = len(list(itertools.takewhile(lambda one: one is None, stage.optimizers)))
        self._stages = stage.split(sizes)
        for rank, channel in enumerate(self._control, start=1):
            number = rank // self._replicas
            state = self._stages[number].snapshot().copied()
            residence = None if stores is None else stores.of(number)
            channel.put(_Segment(len(stage.blocks), frozen, list(sizes), state, residence))
        self._stage = _alone(self._stages[0], self._ranks, self._replicas)

    def network(self, snapshot: Snapshot) -> Network:
        return self._weights.network(snapshot)

    def load_last_snapshot(self) -> None:
        self._weights.load_last_snapshot()

    def run(self, items: Items) -> Reports:
        stored = self._stores
        if stored is None:
            yield from self._run(items, self._stage)
            return
        try:
            with (
                stored.opened(self._stages),
                own_layers(self._net, self._stage, stored.of(0)) as handler,
            ):
                yield from self._run(items, handler)
        except Exception:
            with contextlib.suppress(Exception):  # what failed first is to be told
                self._weights.load_last_snapshot()
            raise

    def _run(self, items: Items, handler: Handler) -> Reports:
        inbox, own = self._ranks.channel(2), self._ranks.channel(None)
        stored = self._stores
        unread: Channel[None] = self._ranks.channel(_UNREAD if stored is None else _UNREAD_STORED)
        outbox, shares = self._connections.batches_out(), self._connections.shares_out()
        reports: list[Channel[Report]] = [own, *self._connections.reports_in()]
        first: Inlet[Item] = _Split([inbox, *shares]) if shares else inbox
        threads = [
            threading.Thread(target=feed, args=(items, first, unread), daemon=True),
            threading.Thread(target=self._work, args=(handler, inbox, outbox, own), daemon=True),
        ]
        for thread in threads:
            self._ranks.start(thread)
        try:
            yield from self._weights.of(read_reports(reports, unread, self._join))
        except GeneratorExit:
            unread.close()  # which ends the feeding; what is under way comes to its end
            over = (End, Failure)
            while not isinstance(self._join([channel.get() for channel in reports]), over):
                pass
            join(threads)
            raise
        except BaseException:
            unread.close()
            if self._stores is not None:  # whose stores are given up next
                join(threads, _LAST_WORDS)
            raise
        finally:
            unread.close()
        join(threads)

    def watch_interrupt(self, interrupt: Interrupt) -> None:
        interrupt.also(lambda: self._ranks.detector.interrupted)

    def finish(self, outcome: dict[str, Any] | None) -> None:
        if outcome is None and self._stores is not None:  # layers of other ranks are not here
            self._weights.load_last_snapshot()
        parts = {} if outcome is None else self._net.parts()
        weights = {name: part.state_dict() for name, part in parts.items()}
        for channel in self._control:
            channel.put(_Outcome(weights, outcome))
            channel.put(End())
        self._ranks.ended = True

    def _work(self, *channels: Any) -> None:
        try:
            error = work(*channels)
        except AssociatedLearningError:
            return  # what closed the channels, which all ranks know of
        if error is not None and self._replicas > 1:
            self._ranks.detector.fail(error)  # the other replicas wait for this one's gradients

    def _join(self, reports: Sequence[Report]) -> Report:
        stages = [
            averaged(reports[i : i + self._replicas])
            for i in range(0, len(reports), self._replicas)
        ]
        report = merged(stages)
        folder = None if self._stores is None else self._stores.folder
        if isinstance(report, SnapshotReport) and folder is not None:
            return report._replace(snapshot=found_here(report.snapshot, folder))
        return report


def follow(
    ranks: Ranks,
    net: Network,
    reshaped: Callable[[int, int], Stage],
    *,
    replicas: int,
    wire: torch.dtype | None,
) -> dict[str, Any]:
    """Train a stage as rank 0 says, on any other rank, until training ends everywhere.

    Args:
        ranks: The processes.
        net: The network; it ends with the same weights as that of rank 0.
        reshaped: Gives it so many layers, the lowest so many frozen; returns the whole of it as
            one stage. The state is that of rank 0 before it trains.
        replicas: Number of ranks of each stage.
        wire: See `Connections`.

    Returns:
        What rank 0 tells of the training: the argument of `Executor.finish`.

    Raises:
        AssociatedLearningError: A stage failed, this one or another.
        KeyboardInterrupt: A signal asked one of the ranks to stop; rank 0 has saved the run.
    """
    connections = opened_connections(ranks, replicas, device_of(net), wire)
    control = connections.control_in()
    with passed_on_interrupts(ranks.detector.request_interrupt):
        told = control.get()
        while isinstance(told, _Segment):
            own = reshaped(told.depth, told.frozen).split(told.sizes)[ranks.rank // replicas]
            return_memory(own)
            own.restore(told.state)
            alone, residence = _alone(own, ranks, replicas), told.residence
            del told, own  # which hold the state of this stage, and would go on holding it
            with own_layers(net, alone, residence) as handler:
                _train_segment(handler, connections, control, replicas, residence)
            told = control.get()
    weights, outcome = told
    ranks.ended = True
    if outcome is None:
        raise KeyboardInterrupt
    parts = net.parts()
    give_memory(tensor for name in weights for tensor in weights_of(parts[name]).values())
    for name, tensors in weights.items():
        parts[name].load_state_dict(tensors)
    return dict(outcome)


def _train_segment(
    handler: Handler,
    connections: Connections,
    control: Channel[Any],
    replicas: int,
    residence: StageResidence | None,
) -> None:
    queued = 1 if residence is None or residence.in_files else residence.window
    inbox, outbox = connections.batches_in(queued), connections.batches_out()
    told = handler if residence is None else TellsFiles(handler)
    error = work(told, inbox, outbox, connections.reports_out())
    if error is None:
        return
    if replicas == 1:  # else at once: the other replicas wait for this one's gradients
        with contextlib.suppress(AssociatedLearningError):
            control.get()  # closed when rank 0 has taken note
    raise error


class _Split:
    """Puts minibatches into several channels, to each its share, and other items into all."""

    def __init__(self, channels: Sequence[Channel[Item]]) -> None:
        self._channels = channels

    def put(self, item: Item) -> None:
        for replica, channel in enumerate(self._channels):
            channel.put(shard(item, replica, len(self._channels)))


def _alone(stage: Stage, ranks: Ranks, replicas: int) -> Stage:
    """Return the stage as it trains in a process of its own, beside its replicas."""
    # the thread that makes the batches, and the validation, draw from the shared generators
    rule = replace(stage.rule, randomness=thread_seeded)
    alone = replace(stage, copies=True, rule=rule, clock=ranks.clock())
    if replicas == 1:
        return alone
    shape = (ranks.size // replicas, replicas)
    mesh = init_device_mesh(stage.device.type, shape, mesh_dim_names=("stage", "replica"))
    group = mesh.get_group("replica")
    ranks.detector.on_failure(lambda _: abort(group))
    return replicated(alone, ranks.rank % replicas, group)

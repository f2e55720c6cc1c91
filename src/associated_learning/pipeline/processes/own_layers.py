"""What a process has of a network whose layers lie in stores: those of its own stage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from associated_learning.network import Network
from associated_learning.pipeline.items import Item, Report, SnapshotReport
from associated_learning.pipeline.offload.stored_snapshot import without_tensors
from associated_learning.pipeline.offload.windowed_stage import StageResidence, resident
from associated_learning.pipeline.stage import Stage
from associated_learning.pipeline.worker import Handler
from associated_learning.tensors.hollow import give_memory, hollow, weights_of

__all__ = ["TellsFiles", "own_layers", "return_memory"]


class TellsFiles:
    """Does what a handler does, and tells of a snapshot only the files that hold it."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def handled(self, item: Item) -> Iterator[tuple[Report, Item]]:
        """See `Handler`."""
        for report, onward in self._handler.handled(item):
            if isinstance(report, SnapshotReport):
                yield report._replace(snapshot=without_tensors(report.snapshot)), onward
            else:
                yield report, onward


@contextmanager
def own_layers(net: Network, stage: Stage, residence: StageResidence | None) -> Iterator[Handler]:
    """Let a stage train inside the block; if it has a store, no other layer is in memory.

    Args:
        net: The network. After the block its other layers still have no memory.
        stage: This process's.
        residence: Where its layers are while they do not train; None for memory.
    """
    if residence is not None:
        others = (part for name, part in net.parts().items() if name not in stage.parts)
        for part in others:
            hollow(weights_of(part).values(), stage.device)
    with resident(stage, residence) as handler:
        yield handler


def return_memory(stage: Stage) -> None:
    """Give layers memory again that `own_layers` took from them; its values are yet to come."""
    for part in stage.parts.values():
        give_memory(weights_of(part).values())

"""The connections between the ranks of a pipeline: from stage to stage, and to and from rank 0."""

from __future__ import annotations

from typing import Any

import torch

from associated_learning.pipeline.channel import Channel
from associated_learning.pipeline.items import Item, Report
from associated_learning.pipeline.processes.rendezvous import Ranks
from associated_learning.pipeline.processes.transfers import Receiver, Sender

__all__ = ["Connections"]

_QUEUED = 1  # items that wait at either end of a connection, beside the one that is on its way


class Connections:
    """Opens connections as channels; a thread at either end of each moves what is put into them.

    Args:
        ranks: The processes.
        replicas: Number of ranks of each stage; those of a stage follow each other.
        device: Where activations are.
        wire: Type of float32 activations on their way; None leaves them as they are.
    """

    def __init__(
        self, ranks: Ranks, replicas: int, *, device: torch.device, wire: torch.dtype | None
    ) -> None:
        self._ranks = ranks
        self._mesh = torch.arange(ranks.size).view(-1, replicas).tolist()
        self._gpu = device if device.type == "cuda" else None
        self._wire = wire
        # Every rank makes all groups, in the same order. In a group one thread may send to a
        # rank, so two do: minibatches go up; news goes to rank 0, and from it to all others. On a
        # CPU not one more, because for each gloo has a thread that wakes a hundred times a second.
        everyone = list(range(ranks.size))
        self._news = ranks.group(everyone, gpu=False)
        if self._gpu is None:
            self._data = dict.fromkeys(self._edges(), ranks.group(everyone, gpu=False))
        else:
            self._data = {edge: ranks.group(list(edge), gpu=True) for edge in self._edges()}

    def _edges(self) -> list[tuple[int, int]]:
        """Return who sends minibatches to whom."""
        first, *_ = self._mesh
        heads = [(first[0], rank) for rank in first[1:]]
        rows = zip(self._mesh, self._mesh[1:], strict=False)
        return heads + [edge for below, above in rows for edge in zip(below, above, strict=True)]

    def batches_in(self, queued: int = _QUEUED) -> Channel[Item]:
        """Return the channel on which items come from the rank below, in which some may wait."""
        ((source, group),) = [
            (a, group) for (a, b), group in self._data.items() if b == self._ranks.rank
        ]
        return self._receive(Channel(queued), source, group, gpu=self._gpu)

    def batches_out(self) -> Channel[Item] | None:
        """Return the channel to the rank above; None for the last stage."""
        above = [row for row in self._mesh if row[0] > self._row()[0]]
        if not above:
            return None
        return self._send_batches(above[0][self._row().index(self._ranks.rank)])

    def shares_out(self) -> list[Channel[Item]]:
        """Return the channels from rank 0 to the other replicas of the first stage."""
        return [self._send_batches(rank) for rank in self._mesh[0][1:]]

    def reports_in(self) -> list[Channel[Report]]:
        """Return the channels on which all other ranks report to rank 0, in their order."""
        others = range(1, self._ranks.size)
        return [self._receive(Channel(None), rank, self._news) for rank in others]

    def reports_out(self) -> Channel[Report]:
        """Return the channel on which a rank reports to rank 0."""
        return self._send(Channel(None), 0, self._news)

    def control_out(self) -> list[Channel[Any]]:
        """Return the channels on which rank 0 tells each of the others, in their order."""
        others = range(1, self._ranks.size)
        return [self._send(Channel(None), rank, self._news) for rank in others]

    def control_in(self) -> Channel[Any]:
        """Return the channel on which rank 0 tells a rank."""
        return self._receive(Channel(None), 0, self._news)

    def _row(self) -> list[int]:
        (row,) = [row for row in self._mesh if self._ranks.rank in row]
        return list(row)

    def _send_batches(self, rank: int) -> Channel[Item]:
        group = self._data[self._ranks.rank, rank]
        bf16 = self._wire is torch.bfloat16
        return self._send(Channel(_QUEUED), rank, group, gpu=self._gpu, bf16=bf16)

    def _send(
        self,
        channel: Channel[Any],
        rank: int,
        group: Any,
        *,
        gpu: torch.device | None = None,
        bf16: bool = False,
    ) -> Channel[Any]:
        lost = self._ranks.guard(channel)
        self._ranks.start(Sender(channel, rank, group, device=gpu, bf16=bf16, lost=lost))
        return channel

    def _receive(
        self, channel: Channel[Any], rank: int, group: Any, *, gpu: torch.device | None = None
    ) -> Channel[Any]:
        lost = self._ranks.guard(channel)
        self._ranks.start(Receiver(channel, rank, group, device=gpu, lost=lost))
        return channel

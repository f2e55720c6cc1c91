"""The processes of a run as rank 0 reaches them."""

from __future__ import annotations

import torch

from associated_learning.pipeline.processes.connections import Connections
from associated_learning.pipeline.processes.rendezvous import Ranks

__all__ = ["Crew", "opened_connections"]


class Crew:
    """The processes of a run as rank 0 reaches them, for all segments of the training.

    Every other rank comes to `follow` meanwhile.
    """

    def __init__(
        self, ranks: Ranks, *, replicas: int, device: torch.device, wire: torch.dtype | None
    ) -> None:
        self.ranks = ranks
        self.replicas = replicas
        self.wire = wire
        self.connections = opened_connections(ranks, replicas, device, wire)
        self.control = self.connections.control_out()


def opened_connections(
    ranks: Ranks, replicas: int, device: torch.device, wire: torch.dtype | None
) -> Connections:
    """Meet the other ranks, and return the connections to them."""
    ranks.gather()  # connecting has little patience
    return Connections(ranks, replicas, device=device, wire=wire)

"""The weights of the last snapshot, while the network itself trains on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from torch import Tensor

from associated_learning.errors import InputError
from associated_learning.network import Network
from associated_learning.pipeline.items import Reports, SnapshotReport
from associated_learning.state.snapshot import Snapshot
from associated_learning.tensors.hollow import hollow_copy

__all__ = ["LastWeights", "SnapshotWeights", "copied_network"]

Weights: TypeAlias = Mapping[str, Mapping[str, Tensor]]


class SnapshotWeights(ABC):
    """What a pipeline evaluates, and ends with, while its layers go on."""

    _last: Weights | None = None  # of a snapshot; its optimizers need not live on

    def of(self, reports: Reports) -> Reports:
        """Yield the reports and keep the last snapshot among them."""
        for report in reports:
            if isinstance(report, SnapshotReport):
                self._last = report.snapshot.weights
            yield report

    @abstractmethod
    def network(self, snapshot: Snapshot) -> Network:
        """Return a network with the weights of a snapshot."""

    @abstractmethod
    def load_last_snapshot(self) -> None:
        """Give the network itself the weights of the last snapshot."""


class LastWeights(SnapshotWeights):
    """Evaluates snapshots on a copy of a network, and sets the network back to the last one.

    Raises:
        InputError: It cannot be copied.
    """

    def __init__(self, net: Network) -> None:
        self._net = net
        self._copy = copied_network(net)

    def network(self, snapshot: Snapshot) -> Network:
        _load(self._copy, snapshot.weights)
        return self._copy

    def load_last_snapshot(self) -> None:
        if self._last is not None:
            _load(self._net, self._last)


def _load(net: Network, weights: Weights) -> None:
    for name, part in net.parts().items():
        part.load_state_dict(weights[name])


def copied_network(net: Network, absent: Iterable[Tensor] = ()) -> Network:
    """Return a copy of a network in which some tensors, ``absent``, have no memory.

    Raises:
        InputError: It cannot be copied.
    """
    try:
        return hollow_copy(net, absent)
    except Exception as error:  # whatever a module of the user's may raise
        raise InputError(
            f"the network cannot be copied ({type(error).__name__}: {error}), but a pipeline "
            "validates a copy while the layers train on; let its modules hold nothing that "
            "copy.deepcopy refuses, or use executor='sequential'."
        ) from error

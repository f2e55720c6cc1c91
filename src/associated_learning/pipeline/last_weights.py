"""The weights of the last snapshot, while the network itself trains on."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TypeAlias

from torch import Tensor

from associated_learning.errors import InputError
from associated_learning.network import Network
from associated_learning.pipeline.items import Reports, SnapshotReport
from associated_learning.state.snapshot import Snapshot

__all__ = ["LastWeights"]

Weights: TypeAlias = Mapping[str, Mapping[str, Tensor]]


class LastWeights:
    """Evaluates snapshots on a copy of a network, and sets the network back to the last one.

    Args:
        net: The network, before it trains.

    Raises:
        InputError: It cannot be copied.
    """

    def __init__(self, net: Network) -> None:
        self._net = net
        self._copy = _copied(net)
        self._last: Weights | None = None

    def of(self, reports: Reports) -> Reports:
        """Yield the reports and keep the last snapshot among them."""
        for report in reports:
            if isinstance(report, SnapshotReport):
                self._last = report.snapshot.weights
            yield report

    def network(self, snapshot: Snapshot) -> Network:
        """Return the copy with the weights of a snapshot."""
        _load(self._copy, snapshot.weights)
        return self._copy

    def load_last_snapshot(self) -> None:
        """Give the network itself the weights of the last snapshot."""
        if self._last is not None:
            _load(self._net, self._last)


def _load(net: Network, weights: Weights) -> None:
    for name, part in net.parts().items():
        part.load_state_dict(weights[name])


def _copied(net: Network) -> Network:
    try:
        return copy.deepcopy(net)
    except Exception as error:  # whatever a module of the user's may raise
        raise InputError(
            f"the network cannot be copied ({type(error).__name__}: {error}), but a pipeline "
            "validates a copy while the layers train on; let its modules hold nothing that "
            "copy.deepcopy refuses, or use executor='sequential'."
        ) from error

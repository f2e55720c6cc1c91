"""The weights of the last snapshot where no process has room for all layers at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from associated_learning.network import ALNetwork, Network
from associated_learning.pipeline.last_weights import SnapshotWeights, copied_network
from associated_learning.pipeline.offload.layer_store import Store
from associated_learning.pipeline.offload.lazy_layers import LazyLayers
from associated_learning.pipeline.offload.streamed_inference import StreamedNetwork
from associated_learning.state.snapshot import Snapshot
from associated_learning.tensors.devices import device_of
from associated_learning.tensors.hollow import Tensors, fill, give_memory, values_of, weights_of
from associated_learning.tensors.strides import Strides

__all__ = ["LazyLastWeights"]


class LazyLastWeights(SnapshotWeights):
    """As `LastWeights`, but the network that is evaluated has one layer at a time in memory.

    Args:
        net: The network, before it trains.
        window: Number of batches that a layer takes in validation before the next one comes.
    """

    def __init__(self, net: Network, *, window: int) -> None:
        self._net = net
        self._window = window
        self._copy = copied_network(net, _tensors(net))
        self._store = _SnapshotStore(device_of(net))
        for name, part in net.parts().items():
            self._store.strides.note(name, weights_of(part))
        self._calls = LazyLayers(self._copy.parts(), self._store)

    def network(self, snapshot: Snapshot) -> Network:
        """Return a network with the weights of a snapshot, each layer read when it is called."""
        self._calls.drop()
        self._store.snapshot = snapshot
        for name, part in self._copy.parts().items():
            for key, tensor in weights_of(part).items():
                if tensor.numel() <= 1:  # such as BatchNorm's count, which never goes
                    tensor.data.copy_(snapshot.weights[name][key])
        if type(self._copy).exits is not ALNetwork.exits:
            return self._copy
        assert isinstance(self._copy, ALNetwork)
        return StreamedNetwork(self._copy, self._calls, window=self._window)

    def load_last_snapshot(self) -> None:
        if self._last is None:
            return
        give_memory(_tensors(self._net))
        for name, part in self._net.parts().items():
            live = weights_of(part)
            fill(live, self._store.strides.restored(name, values_of(live)))
            part.load_state_dict(self._last[name])


class _SnapshotStore(Store):
    """Where `LazyLayers` read the weights of a snapshot.

    Attributes:
        snapshot: The one that is looked at.
        strides: Those of the weights that train.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.snapshot: Snapshot | None = None
        self.strides = Strides()

    def read(self, name: str) -> Tensors:
        found = {key: value.to(self.device) for key, value in self.look(name).items()}
        return self.strides.restored(name, found)

    def look(self, name: str) -> Mapping[str, Tensor]:
        assert self.snapshot is not None
        return self.snapshot.weights[name]

    def write(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        raise AssertionError("a snapshot stays as it is")

    def adopt(self, files: Mapping[str, Path]) -> None:
        raise AssertionError("a snapshot stays as it is")


def _tensors(net: Network) -> list[Tensor]:
    return [tensor for part in net.parts().values() for tensor in weights_of(part).values()]

"""Networks that were never in memory as a whole: their layers lie in the files of a store."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from associated_learning.errors import InputError
from associated_learning.layer import ALLayer
from associated_learning.network import ALNetwork
from associated_learning.pipeline.offload.disk_store import DiskStore
from associated_learning.pipeline.offload.layer_store import HostStore, Store
from associated_learning.pipeline.offload.lazy_layers import LazyLayers
from associated_learning.pipeline.offload.storable import check_storable
from associated_learning.pipeline.offload.streamed_inference import streamed_exits
from associated_learning.targets import Target
from associated_learning.tensors.hollow import fill, hollow, is_hollow, values_of, weights_of
from associated_learning.tensors.outputs import OutputReader, as_it_is
from associated_learning.tensors.strides import is_dense

__all__ = ["StoredNetwork", "store_layers"]

WINDOW = 16  # batches that a layer takes in inference before the next one comes


class StoredNetwork(ALNetwork):
    """An AL network whose layers come from a store when they are called, one at a time.

    It answers as any other one. It trains by `Trainer` with the executor "offload", in the store:
    what the store holds is the network.

    Args:
        layers: Their weights are taken away.
        target: What y is.
        store: Holds the weights that count.

    Attributes:
        store: Likewise.

    Raises:
        CheckpointError: The store is of another network.

    Example:
        >>> import tempfile, torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> layer = al.ALLayer(
        ...     f=nn.Linear(4, 8), b=nn.Linear(8, 5), g=nn.Linear(3, 5), h=nn.Linear(5, 3)
        ... )
        >>> net = al.store_layers([layer], al.Classes(3), tempfile.mkdtemp())
        >>> net.eval()(torch.ones(2, 4)).shape  # the layer is fetched, and let go
        torch.Size([2, 3])
    """

    def __init__(self, layers: Iterable[ALLayer], target: Target, store: Store) -> None:
        super().__init__(layers, target)
        store.check_fits(self.parts())
        self.store = store
        self._let_go()
        self.calls = LazyLayers(self.parts(), store)
        self._read_numbers()

    def exits_of(
        self, batches: Iterable[Any], read: OutputReader = as_it_is
    ) -> Iterator[list[Any]]:
        return streamed_exits(self, self.calls, batches, read, window=WINDOW)

    def adopts(self, folder: Path) -> bool:
        self.calls.drop()
        files = {path.stem: path for path in folder.glob("*.safetensors")}
        self.store.adopt(files)
        self.store.check_fits(self.parts())
        self.store.commit()
        self._let_go()
        self._read_numbers()
        return True

    @contextmanager
    def coders(self) -> Iterator[None]:
        layers = self.parts()
        for name, layer in layers.items():
            self.calls.fetch(name)
            self.calls.pin(layer.g)  # type: ignore[arg-type]
            self.calls.pin(layer.h)  # type: ignore[arg-type]
        self.calls.drop()
        yield
        for name, layer in layers.items():
            live = weights_of(layer).items()
            trained = {key: tensor.data for key, tensor in live if not is_hollow(tensor)}
            self.store.write(name, {**self.store.read(name), **trained})
        self.store.commit()
        self.calls.unpin()

    @contextmanager
    def held(self, block: nn.Module) -> Iterator[None]:
        inside = {id(module) for module in block.modules()}
        try:
            for name, layer in self.parts().items():
                if id(layer) in inside:
                    self.calls.fetch(name)
                    self.calls.pin(layer)
            yield
        finally:
            self.calls.unpin()

    def loaded(self, depth: int | None = None) -> ALNetwork:
        """Return the first layers as a network in memory, a copy: to be exported, say.

        Args:
            depth: Number of layers; all by default.
        """
        with self.calls.copying():
            layers = [copy.deepcopy(one) for one in self.al_layers()[: self.check_depth(depth)]]
        for number, layer in enumerate(layers, start=1):
            fill(weights_of(layer), self.store.read(f"layer-{number}"))
        return ALNetwork(layers, self.target)

    def in_memory(self, depth: int | None = None) -> ALNetwork:
        return self.loaded(depth)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise InputError(
            "a network in a store was to be copied or pickled, which would hold none of its "
            "weights; take loaded(depth), a copy in memory, or save_weights."
        )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> StoredNetwork:
        for tensor in filter(is_hollow, (*self.parameters(), *self.buffers())):
            before = tensor.data
            if fn(before) is not before:
                raise InputError(
                    f"a network in a store, of {tensor.dtype} on {tensor.device}, was to be moved "
                    "or to change its type; make it anew by store_layers(..., device=...) of "
                    "layers of that type."
                )
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def _let_go(self) -> None:
        """Take the weights away from all layers: those in the store count."""
        for part in self.parts().values():
            hollow(weights_of(part).values(), self.store.device)

    def _read_numbers(self) -> None:
        """Read the tensors of a single number, such as BatchNorm's count: they are never hollow."""
        for name, part in self.parts().items():
            values = self.store.look(name)
            for key, tensor in weights_of(part).items():
                if tensor.numel() <= 1:
                    tensor.data = values[key].to(self.store.device)

    def append(self, layer: ALLayer, x: Any = None) -> None:
        raise InputError(
            "a layer came for a network in a store, whose depth stays as it is; expected none. "
            "Build the deeper network by store_layers, or grow one in memory."
        )

    def truncate(self, depth: int) -> None:
        raise InputError(
            f"depth {depth} came for a network in a store, whose depth stays as it is; take "
            "`loaded(depth)`, which is a copy in memory."
        )


def store_layers(
    layers: Iterable[ALLayer],
    target: Target,
    folder: Path | str,
    *,
    device: torch.device | str = "cpu",
) -> StoredNetwork:
    """Put layers into a store as they are made, so that one at a time is in memory.

    Args:
        layers: From the input up; a generator that makes each when it is asked for it.
        target: What y is.
        folder: Of the store, where one that is there already is replaced; or "host" for host
            memory, pinned where ``device`` is a GPU.
        device: Where the layers are to train.

    Raises:
        CheckpointError: The disk is full, or another run has the store open.
        InputError: Layers share weights, one holds what no store can keep, or none came.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> def layer(width):
        ...     f, b = nn.Linear(width, 8), nn.Linear(8, 5)
        ...     return al.ALLayer(f=f, b=b, g=nn.Linear(5, 5), h=nn.Linear(5, 5))
        >>> made = (layer(8) for _ in range(3))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     net = al.store_layers(made, al.Classes(5), folder).eval()
        ...     net.num_layers, net(torch.randn(2, 8)).shape
        (3, torch.Size([2, 5]))
    """
    place, outlines = torch.device(device), []
    store: Store = HostStore(place) if folder == "host" else DiskStore(folder, place)
    store.adopt({})
    try:
        for number, layer in enumerate(layers, start=1):
            live = weights_of(layer)
            check_storable({f"{key} of layer {number}": tensor for key, tensor in live.items()})
            # without gaps, which optimizers could not see
            values = {k: v if is_dense(v) else v.contiguous() for k, v in values_of(live).items()}
            store.write(f"layer-{number}", values)
            hollow(live.values(), store.device)
            outlines.append(layer)
        store.commit()
        return StoredNetwork(outlines, target, store)
    except BaseException:
        store.close()
        raise

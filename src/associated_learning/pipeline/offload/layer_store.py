"""Where the state of layers lies while they do not train: in host memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from associated_learning.pipeline.offload.pinned_memory import PinnedMemory
from associated_learning.state.snapshot import StoredFile
from associated_learning.state.tensor_file import read_header, read_tensor
from associated_learning.tensors.hollow import Tensors
from associated_learning.tensors.strides import Strides

__all__ = ["HostStore", "Store"]

_TURN = 2**25  # bytes; more than a GPU copies in half a millisecond


class Store(ABC):
    """Keeps the tensors of layers by the names of a checkpoint's files.

    One thread at a time writes; what was written is never changed, only replaced. Copies from and
    to a GPU run on the current stream, and are over when a method returns.

    Attributes:
        device: Where layers train.
        free: Whether a layer is fetched and written back by handing over its memory.
    """

    device: torch.device
    free = False

    @abstractmethod
    def write(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Keep tensors, on whatever device they are, in the place of those of that name."""

    @abstractmethod
    def read(self, name: str) -> Tensors:
        """Return the tensors of a name in memory of `device`."""

    @abstractmethod
    def look(self, name: str) -> Mapping[str, Tensor]:
        """Return the tensors of a name on the CPU, each read when it is looked at."""

    @abstractmethod
    def adopt(self, files: Mapping[str, Path]) -> None:
        """Take the files of a checkpoint, by name, in the place of all that is there."""

    def check_fits(self, parts: Mapping[str, nn.Module]) -> None:  # noqa: B027
        """Raise CheckpointError if what is there is of another network than these layers."""

    def files(self) -> dict[str, StoredFile]:
        """Return the files that hold what was written, by name; none where it is in memory."""
        return {}

    def commit(self) -> None:  # noqa: B027  # memory has nothing to commit
        """From now on, what was written is what a process that is killed leaves behind."""

    def hold(self) -> None:  # noqa: B027  # a copy of memory is made where it must outlive training
        """Let `files` as they are now outlive later commits, until this is called again."""

    def close(self) -> None:  # noqa: B027
        """Give up what the store holds open."""


class HostStore(Store):
    """Host memory: for a GPU pinned, so that copies run beside its kernels.

    Layers that train on the CPU are already there: their memory is handed over.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.free = device.type == "cpu"
        self._kept: dict[str, Tensors] = {}
        self._memory = PinnedMemory()
        # where each tensor was put; it stays when a new run has no state of optimizers yet, for
        # pinning takes as long as many copies
        self._places: dict[tuple[str, str], Tensor] = {}
        self._strides = Strides()

    def write(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        if self.free:
            self._kept[name] = dict(tensors)
            return
        self._strides.note(name, tensors)
        self._kept[name] = {
            key: self._copied(tensor, self._place(name, key, tensor))
            for key, tensor in tensors.items()
        }

    def read(self, name: str) -> Tensors:
        if self.free:
            return dict(self._kept[name])
        kept = self._kept[name].items()
        found = {
            key: self._copied(tensor, torch.empty_like(tensor, device=self.device))
            for key, tensor in kept
        }
        return self._strides.restored(name, found)

    def look(self, name: str) -> Mapping[str, Tensor]:
        return self._kept.get(name, {})

    def adopt(self, files: Mapping[str, Path]) -> None:
        self._kept.clear()
        for name, path in files.items():
            specs = read_header(path)
            self.write(name, {key: read_tensor(path, spec) for key, spec in specs.items()})

    def _copied(self, source: Tensor, target: Tensor) -> Tensor:
        """Copy a tensor in turns, each waited for.

        Training waits for losses and for the next minibatch, which take the same way: they would
        stand in line behind all that is under way.
        """
        pieces = [(source, target)]
        if source.is_contiguous() and target.is_contiguous():
            length = max(1, _TURN // source.element_size())
            parts = (torch.split(tensor.view(-1), length) for tensor in (source, target))
            pieces = list(zip(*parts, strict=True))
        for piece, place in pieces:
            place.copy_(piece, non_blocking=True)
            torch.cuda.current_stream(self.device).synchronize()
        return target

    def _place(self, name: str, key: str, tensor: Tensor) -> Tensor:
        """Return the pinned memory of a tensor, that of its last copy if there is one."""
        place = self._places.get((name, key))
        if place is None or place.shape != tensor.shape or place.dtype != tensor.dtype:
            place = self._places[name, key] = self._memory.empty(tensor.shape, tensor.dtype)
        return place

"""What operations allocate: the bytes of all tensors that they made and that are still alive."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, UntypedStorage
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["Allocations"]


class Allocations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A context that follows the memory of tensors which operations make, forward and backward.

    Counted is what PyTorch's dispatcher sees: activations, gradients, and what an optimizer needs
    for its step; buffers inside a kernel are not. What was there before is not counted.

    Attributes:
        peak: The most bytes at once so far.

    Example:
        >>> import torch
        >>> x = torch.zeros(100)
        >>> with Allocations() as allocations:
        ...     x = (x + 1).mul_(2).sum()
        >>> allocations.peak, allocations.held
        (404, 4)
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = self.held = 0
        self._counted: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Any = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        before = {storage._cdata for storage in _storages((args, given))}
        found = func(*args, **given)
        for storage in _storages(found):
            if storage._cdata not in before and storage._cdata not in self._counted:
                self._count(storage)
        return found

    def _count(self, storage: UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        self._counted.add(key)
        self.held += size
        self.peak = max(self.peak, self.held)
        weakref.finalize(storage, self._let_go, key, size)

    def _let_go(self, key: int, size: int) -> None:
        self._counted.discard(key)
        self.held -= size


def _storages(structure: Any) -> Iterable[UntypedStorage]:
    return [leaf.untyped_storage() for leaf in tree_leaves(structure) if isinstance(leaf, Tensor)]

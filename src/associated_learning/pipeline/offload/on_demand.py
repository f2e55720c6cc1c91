"""Layers that come when they are called: inference over a store, by any path through a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from associated_learning.pipeline.offload.hollow import Tensors, fill, hollow, is_hollow, weights_of
from associated_learning.pipeline.offload.store import Store

__all__ = ["OnDemand"]


class OnDemand:
    """Fetches the weights of a layer when one of its modules runs, and lets those before go.

    So whatever runs a network, an early exit, an export or a callback, sees the weights that the
    store holds, at the price of reading a layer whenever another one was in use before it.

    Args:
        parts: The layers by name.
        store: Where their weights are.
        settled: Called before the store is read: what is still being written must be there.
    """

    def __init__(
        self, parts: Mapping[str, nn.Module], store: Store, settled: Callable[[], None]
    ) -> None:
        self._live: dict[str, Tensors] = {name: weights_of(part) for name, part in parts.items()}
        self._store = store
        self._settled = settled
        self._here: str | None = None
        self._pinned: dict[int, Tensor] = {}
        self._hooks: list[RemovableHandle] = []
        for name, part in parts.items():
            for module in (part, *part.children()):
                self._hooks.append(module.register_forward_pre_hook(self._fetcher(name, module)))

    def fetch(self, name: str) -> None:
        """Give a layer its weights, unless it has them."""
        live = self._live[name]
        missing = {key: tensor for key, tensor in live.items() if is_hollow(tensor)}
        if not missing:
            return
        self.drop()
        self._settled()
        fill(missing, self._store.read(name))
        self._here = name

    def pin(self, module: nn.Module) -> None:
        """Let the weights of a module stay until `unpin`; its layer has just been fetched."""
        self._pinned.update({id(tensor): tensor for tensor in weights_of(module).values()})

    def unpin(self) -> None:
        """Let go of what was pinned, and of the last layer."""
        pinned, self._pinned = self._pinned, {}
        hollow(pinned.values(), self._store.device)
        self.drop()

    def drop(self) -> None:
        """Let go of the layer that was fetched last."""
        if self._here is not None:
            gone = [t for t in self._live[self._here].values() if id(t) not in self._pinned]
            hollow(gone, self._store.device)
            self._here = None

    def close(self) -> None:
        """Fetch nothing any more."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def _fetcher(self, name: str, module: nn.Module) -> Callable[[nn.Module, Any], None]:
        own = list(weights_of(module).values())

        def fetch(_: nn.Module, arguments: Any) -> None:
            if any(map(is_hollow, own)):
                self.fetch(name)

        return fetch

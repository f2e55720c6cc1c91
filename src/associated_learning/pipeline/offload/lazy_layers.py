"""Layers that come when they are called: inference over a store, by any path through a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from associated_learning.errors import InputError
from associated_learning.pipeline.offload.layer_store import Store
from associated_learning.tensors.hollow import fill, hollow, is_hollow, weights_of

__all__ = ["LazyLayers"]


class LazyLayers:
    """Fetches the weights of a layer when one of its modules runs, and lets those before go.

    So whatever runs a network, an early exit, an export or a callback, sees the weights that the
    store holds, at the price of reading a layer whenever another one was in use before it.

    Attributes:
        settle: Called before the store is read, while something may still be written to it.
        copies_are_filled: Whether copies of layers get their weights from whoever makes them.
    """

    def __init__(self, parts: Mapping[str, nn.Module], store: Store) -> None:
        self._parts = dict(parts)
        self._store = store
        self.settle: Callable[[], None] | None = None
        self.copies_are_filled = False
        self._here: str | None = None
        self._pinned: dict[int, Tensor] = {}
        self._hooks: list[RemovableHandle] = []
        for name, part in parts.items():
            saving = part.register_state_dict_pre_hook(_BeforeSaving(self, name))  # type: ignore[no-untyped-call]
            self._hooks.append(saving)
            for module in (part, *part.children()):
                self._hooks.append(module.register_forward_pre_hook(_Fetcher(self, name)))

    def fetch(self, name: str) -> None:
        """Give a layer its weights, unless it has them."""
        live = weights_of(self._parts[name])  # a module may have put others in their place
        missing = {key: tensor for key, tensor in live.items() if is_hollow(tensor)}
        if not missing:
            return
        self.drop()
        if self.settle is not None:
            self.settle()
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
            live = weights_of(self._parts[self._here]).values()
            hollow([t for t in live if id(t) not in self._pinned], self._store.device)
            self._here = None

    @contextmanager
    def copying(self) -> Iterator[None]:
        """Let copies of layers that are made inside the block be called: they get their weights."""
        self.copies_are_filled = True
        try:
            yield
        finally:
            self.copies_are_filled = False

    def close(self) -> None:
        """Fetch nothing any more."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()


class _Fetcher:
    """A hook before a module that fetches its layer; copies of the module have none."""

    def __init__(self, calls: LazyLayers, name: str) -> None:
        self._calls = calls
        self._name = name

    def __call__(self, module: nn.Module, arguments: Any) -> None:
        if any(map(is_hollow, chain(module.parameters(), module.buffers()))):
            if module.training and torch.is_grad_enabled():
                raise InputError(
                    f"{self._name} lies in a store and was called to train, which would be lost "
                    "with it; train it by Trainer(executor='offload'), call eval() to look at what "
                    "the network answers, or take loaded() of a network in a store, a copy in "
                    "memory."
                )
            self._calls.fetch(self._name)

    def __deepcopy__(self, memo: dict[int, Any]) -> Callable[[nn.Module, Any], None]:
        return _nothing if self._calls.copies_are_filled else _require_weights


def _require_weights(module: nn.Module, arguments: Any) -> None:
    """Raise InputError for a copy of a module that was made while its weights were elsewhere."""
    for tensor in module.parameters():
        if tensor.numel() > 1 and bool(tensor[(0,) * tensor.dim()].isnan()):
            raise InputError(
                "a copy of a layer in a store was called, which has none of its weights; copy "
                "loaded(depth) of the network, which is in memory."
            )


class _BeforeSaving:
    """A hook before ``state_dict`` that fetches a layer, whose tensors outlive its stay."""

    def __init__(self, calls: LazyLayers, name: str) -> None:
        self._calls = calls
        self._name = name

    def __call__(self, module: nn.Module, prefix: str, keep_vars: bool) -> None:
        if not keep_vars:
            self._calls.fetch(self._name)

    def __deepcopy__(self, memo: dict[int, Any]) -> Callable[..., None]:
        return _nothing


def _nothing(*_: Any) -> None:
    pass

"""Whether a CUDA graph can stand for a layer: it replays kernels, and nothing that Python does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from associated_learning.tensors.randomness.thread_rng import is_random

__all__ = ["is_capturable", "untouched"]

_BY_VALUES = {torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output}


def is_capturable(block: nn.Module, s: Any, t: Any) -> bool:
    """Tell whether a block does the same in every training step, by running it once.

    It does not where it draws random numbers, where shapes or branches follow the values of
    tensors (a mask as an index, ``.item()``), where it changes attributes of its own, such as a
    count of its calls, or where it takes what is no tensor. The block is left as it was.

    Example:
        >>> class Masked(nn.Module):
        ...     def forward(self, s, t):
        ...         return s[s > 0], t
        >>> is_capturable(Masked(), torch.ones(2), torch.ones(2))
        False
        >>> is_capturable(nn.Bilinear(2, 2, 2), torch.ones(1, 2), torch.ones(1, 2))
        True
    """
    if not all(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves((s, t))):
        return False
    operations = _ByValues()

    def run(*inputs: Any) -> None:
        with operations:
            block(*inputs)

    with untouched(block) as changed:
        return not (is_random(run, s, t) or operations.seen or changed())


@contextmanager
def untouched(module: nn.Module) -> Iterator[Callable[[], bool]]:
    """Put back the attributes and buffers of a module and of those in it after the block.

    Yields:
        Tells whether an attribute has changed so far.
    """
    modules = list(module.modules())
    buffers = [(buffer, buffer.detach().clone()) for buffer in module.buffers()]
    before = [_attributes(one) for one in modules]
    try:
        yield lambda: any(
            _differ(old, one.__dict__) for old, one in zip(before, modules, strict=True)
        )
    finally:
        for old, one in zip(before, modules, strict=True):
            for name in [name for name in one.__dict__ if _own(name) and name not in old]:
                del one.__dict__[name]
            one.__dict__.update(old)
        for buffer, value in buffers:
            buffer.data.copy_(value)


class _ByValues(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes whether an operation's result has a shape, or is a number, that follows from values."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen = False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        self.seen |= bool(_BY_VALUES.intersection(func.tags))
        return func(*args, **(kwargs or {}))


def _attributes(module: nn.Module) -> dict[str, Any]:
    """Return a module's own attributes; lists and the like as they are now."""
    kinds = (list, dict, set)
    return {
        name: value.copy() if isinstance(value, kinds) else value
        for name, value in module.__dict__.items()
        if _own(name)
    }


def _own(name: str) -> bool:
    return name not in _TORCHS


_TORCHS = {"training", *nn.Module().__dict__}


def _differ(old: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    new = {name: value for name, value in now.items() if _own(name)}
    return old.keys() != new.keys() or any(not _same(old[name], new[name]) for name in old)


def _same(old: Any, new: Any) -> bool:
    if old is new:
        return True
    if isinstance(old, Tensor) or isinstance(new, Tensor):
        return False
    try:
        return bool(old == new)
    except (TypeError, ValueError, RuntimeError):  # arrays, say, have no single answer
        return False

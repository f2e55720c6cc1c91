"""Recomputation inside a layer: its modules keep their inputs and run again going backward."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from associated_learning.models.lookahead import Lookahead
from associated_learning.state.freezing import encoders_in
from associated_learning.tensors.randomness.replay import Replayed
from associated_learning.tensors.randomness.rng_dispatch import current

__all__ = ["Recomputation"]

_SEVERAL = 4


class Recomputation:
    """A context in which the modules that encoders are made of recompute their activations.

    So do those of the copies of encoders that a lookahead bridge holds.

    Gradients are the same to the bit: dropout draws the same numbers again. Modules with batch
    statistics are left alone, as they would count a batch twice.

    Example:
        >>> import torch
        >>> import associated_learning as al
        >>> f = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
        >>> net = al.al_form([f], torch.randn(2, 4), al.Classes(2))
        >>> Recomputation(net.blocks()).modules == [f[0], f[2]]
        True
    """

    def __init__(self, blocks: Iterable[nn.Module]) -> None:
        encoders = [f for block in blocks for f in (*encoders_in(block), *_copies(block))]
        self.modules = [module for f in encoders for module in _chosen(f)]

    def __enter__(self) -> None:
        for module in self.modules:
            module.forward = _Recomputed(module)

    def __exit__(self, *error: object) -> None:
        for module in self.modules:
            module.__dict__.pop("forward", None)


class _Recomputed:
    """The forward of a module, in training by `torch.utils.checkpoint`."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        functools.update_wrapper(self, type(module).forward)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        own = functools.partial(type(self._module).forward, self._module)
        if not self._module.training:
            return own(*arguments, **named)
        source = current()
        if source is None:
            return checkpoint(own, *arguments, use_reentrant=False, **named)
        # torch would save and restore the generators that other threads draw from meanwhile
        again = Replayed(own, source)
        return checkpoint(again, *arguments, use_reentrant=False, preserve_rng_state=False, **named)


def _copies(block: nn.Module) -> list[nn.Module]:
    bridges = [module for module in block.modules() if isinstance(module, Lookahead)]
    return [copy for bridge in bridges for copy in bridge.blocks]


def _chosen(encoder: nn.Module) -> list[nn.Module]:
    """Return the outermost parts of an encoder, of which there are several: one alone saves none.

    Recomputation takes the memory of the largest part, and of what comes into each.
    """
    found = _parts(encoder)
    while len(found) < _SEVERAL:
        inner = [part for module in found for part in _opened(module)]
        if inner == found:
            break
        found = inner
    return found


def _opened(module: nn.Module) -> list[nn.Module]:
    """Return the parts of a module in its place, where nothing that takes memory lies between.

    A weight matrix among them says that the module's own forward computes: an activation, say.
    Of norms, all of whose weights are vectors, only the input is kept.
    """
    inner = _parts(module)
    whole = [part for part in inner if _parts(part)]
    rest = [weight for part in inner if part not in whole for weight in part.parameters()]
    return whole if whole and all(weight.dim() < 2 for weight in rest) else [module]


def _parts(module: nn.Module) -> list[nn.Module]:
    """Return the outermost modules with parameters and without batch statistics.

    What only holds others, as lists and the owners in a `Slice` do, is never called.
    """
    found: list[nn.Module] = []
    for child in module.children():
        if next(child.parameters(), None) is None:
            continue
        container = type(child) is nn.Module or isinstance(child, (nn.ModuleList, nn.Sequential))
        counts = any(isinstance(part, _BatchNorm) for part in child.modules())
        if container or counts:
            found.extend(_parts(child))
        else:
            found.append(child)
    return found

"""CUDA graphs of layers: forward and backward launched as a whole instead of kernel by kernel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from associated_learning.layer import LayerOutput
from associated_learning.tensors.modes import autocast

__all__ = ["Graphed"]


class Graphed(nn.Module):
    """A block that replays CUDA graphs for minibatches of one shape, and runs eagerly for others.

    The kernels and their order are those of the eager block. What must decide on the CPU, whether
    the loss is finite, the clipping, and the optimizer stay outside. A block must be
    `is_capturable`: random numbers, for one, a graph would draw by its own count instead of by
    the keys.

    Args:
        block: Any of `Network.blocks`, on a CUDA device; its weights stay where they are.
        s: Inputs like those to come; the block is in the mode in which it trains.
        t: Targets like those to come.
        precision: Autocast type of the forward pass; None for none.
    """

    def __init__(
        self, block: nn.Module, s: Any, t: Tensor, precision: torch.dtype | None = None
    ) -> None:
        super().__init__()
        self.block = block
        tensors, self._spec = pytree.tree_flatten((s, t))
        self._shapes = _shapes(tensors)
        self._flat = _Flat(block, self._spec, precision)
        buffers = [(buffer, buffer.detach().clone()) for buffer in block.buffers()]
        _accept_streams()
        self._replay: Any = torch.cuda.make_graphed_callables(
            self._flat, tuple(tensors), allow_unused_input=True
        )
        for buffer, value in buffers:  # warming up must not change statistics
            buffer.copy_(value)

    def forward(self, s: Any, t: Tensor) -> LayerOutput:
        tensors, spec = pytree.tree_flatten((s, t))
        fits = self.training and torch.is_grad_enabled() and spec == self._spec
        if not fits or _shapes(tensors) != self._shapes:
            return LayerOutput(*self.block(s, t))
        # copied: the next replay writes into the same memory, while others still read this
        replayed: tuple[Tensor, ...] = self._replay(*tensors)
        found = [tensor.clone() for tensor in replayed]
        assert self._flat.returned is not None
        return LayerOutput(*pytree.tree_unflatten(found, self._flat.returned))


class _Flat(nn.Module):
    """A block between tuples of tensors, which is what torch can capture."""

    def __init__(
        self, block: nn.Module, spec: pytree.TreeSpec, precision: torch.dtype | None
    ) -> None:
        super().__init__()
        self.block = block
        self.taken = spec
        self.precision = precision
        self.returned: pytree.TreeSpec | None = None

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        # weights are cast anew in every replay, so what was cast must not be kept between layers
        with autocast(tensors[0].device, self.precision, keep=False):
            output = self.block(*pytree.tree_unflatten(list(tensors), self.taken))
        found, self.returned = pytree.tree_flatten(tuple(output))
        return tuple(found)


def _accept_streams() -> None:
    """Keep torch from warning of its own graphs, in which gradients change streams."""
    accept = getattr(torch.autograd.graph, "set_warn_on_accumulate_grad_stream_mismatch", None)
    if accept is not None:  # torch 2.10 and later
        accept(False)


def _shapes(tensors: list[Any]) -> list[tuple[Any, ...]]:
    return [
        (tensor.shape, tensor.dtype) if isinstance(tensor, Tensor) else (tensor,)
        for tensor in tensors
    ]

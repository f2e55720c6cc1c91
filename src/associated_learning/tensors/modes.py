"""Training and evaluation mode of a module, and the precision, for a block of code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from associated_learning.tensors.hollow import is_hollow

__all__ = ["autocast", "evaluating", "training", "unfused_attention"]


def autocast(
    device: torch.device, precision: torch.dtype | None, *, keep: bool = True
) -> AbstractContextManager[object]:
    """Return the context of forward and loss at a precision.

    Args:
        device: Where they compute.
        precision: Such as ``torch.bfloat16``; None for that of the tensors.
        keep: Whether weights that were cast are kept for other uses in the same block.
    """
    if precision is None:
        return nullcontext()
    return torch.autocast(device.type, precision, cache_enabled=keep)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode without gradients, and restore its mode after it."""
    in_training = [part for part in module.modules() if part.training]
    if in_training:  # else a small model would spend more time on it than on its layers
        module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part in in_training:
            part.training = True


@contextmanager
def training(module: nn.Module) -> Iterator[None]:
    """Put a module into training mode; restore its mode, its buffers and the random state after."""
    modes = {part: part.training for part in module.modules()}
    here = (buffer for buffer in module.buffers() if not is_hollow(buffer))  # others are in a store
    buffers = [(buffer, buffer.detach().clone()) for buffer in here]
    module.train()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        for part, mode in modes.items():
            part.training = mode
        for buffer, value in buffers:
            buffer.data.copy_(value)


@contextmanager
def unfused_attention() -> Iterator[None]:
    """Let attention run as single products: counters do not see into fused kernels."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)

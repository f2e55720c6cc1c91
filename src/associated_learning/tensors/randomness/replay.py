"""Functions that draw the same random numbers whenever they are called again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from associated_learning.tensors.randomness.rng_dispatch import Source, switch

__all__ = ["Replayed"]


class Replayed:
    """Calls a function; each later call draws what the first one drew, on whatever thread.

    So ``torch.utils.checkpoint`` may recompute it (with ``preserve_rng_state=False``) where a
    thread has generators of its own: those that all threads share are not touched.

    Args:
        function: The function.
        source: What the thread draws from when it is called first.

    Example:
        >>> from associated_learning.tensors.randomness.rng_dispatch import current
        >>> from associated_learning.tensors.randomness.thread_rng import thread_seeded
        >>> with thread_seeded(0):
        ...     drawn = Replayed(torch.rand, current())
        ...     first, other = drawn(3), torch.rand(3)
        >>> torch.equal(drawn(3), first), torch.equal(other, first)
        (True, False)
    """

    def __init__(self, function: Callable[..., Any], source: Source) -> None:
        self._function = function
        self._source = source
        self._states: dict[torch.device, Tensor] | None = None

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        if self._states is None:
            self._states = {at: own.get_state() for at, own in self._source.items()}
            return self._function(*arguments, **named)
        before = switch({at: _generator(at, state) for at, state in self._states.items()})
        try:
            return self._function(*arguments, **named)
        finally:
            switch(before)


def _generator(device: torch.device, state: Tensor) -> torch.Generator:
    generator = torch.Generator(device)
    generator.set_state(state)
    return generator

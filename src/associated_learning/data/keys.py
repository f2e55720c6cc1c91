"""Seeds as pure functions of what they are for: no generator is carried, none can drift."""

from __future__ import annotations

import numpy as np
import torch

__all__ = ["generator", "mix"]


def mix(*parts: int) -> int:
    """Return one 63-bit seed for a tuple of non-negative integers.

    Example:
        >>> mix(0, 1) == mix(0, 1), mix(0, 1) == mix(1, 0), mix(1) == mix(1, 0)
        (True, False, False)
    """
    # The length goes in too: numpy pads short entropy with zeros, so (1,) would equal (1, 0).
    state = np.random.SeedSequence([len(parts), *parts]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def generator(*parts: int) -> torch.Generator:
    """Return a CPU generator seeded with ``mix(*parts)``."""
    return torch.Generator().manual_seed(mix(*parts))

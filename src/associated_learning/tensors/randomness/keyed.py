"""Randomness keyed by (seed, layer, step), so that no order of execution can change it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

from associated_learning.tensors.randomness.generators import GeneratorLock, shared_generators
from associated_learning.tensors.randomness.rng_dispatch import switch

__all__ = ["StepKey", "derive_seed", "seeded"]


class StepKey(NamedTuple):
    """Which update this is: all that a layer's random numbers may depend on.

    Attributes:
        seed: Seed of the run.
        layer: Number of the layer, from 1.
        step: Number of the weight update, from 0.
    """

    seed: int
    layer: int
    step: int


def derive_seed(*key: int | str) -> int:
    """Hash a key to a seed of 63 bits, the same on every machine and in every process.

    Example:
        >>> derive_seed(0, 1, 2) == derive_seed(0, 1, 2) != derive_seed(0, 2, 1)
        True
    """
    text = "\x1f".join([f"{type(part).__name__}:{part}" for part in key])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@contextmanager
def seeded(*key: int | str, device: torch.device | str = "cpu") -> Iterator[None]:
    """Seed torch's generators with ``key`` inside the block and restore them after it.

    Other threads share these generators: one that enters such a block meanwhile waits. Threads
    that draw at the same time use `thread_seeded`.

    Args:
        key: Integers and strings that name this use of randomness.
        device: Where the random numbers are drawn; the CPU generator is always keyed too.

    Example:
        >>> with seeded(0, 1, 2):
        ...     drawn = torch.rand(3)
        >>> with seeded(0, 1, 2):
        ...     torch.equal(torch.rand(3), drawn)
        True
    """
    # Straight to the generators: torch.manual_seed queues a call for every kind of device that
    # is not initialised, with a stack trace, which costs more than a small layer's update.
    generators, seed = shared_generators(device), derive_seed(*key)
    with GeneratorLock(generators):
        states = [generator.get_state() for generator in generators]
        source = switch(None)  # inside of thread_seeded too
        try:
            for generator in generators:
                generator.manual_seed(seed)
            yield
        finally:
            switch(source)
            for generator, state in zip(generators, states, strict=True):
                generator.set_state(state)

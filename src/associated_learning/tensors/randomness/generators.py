"""torch's own random generators, which all threads of a process share."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from types import TracebackType

import torch

__all__ = ["GeneratorLock", "seed_all", "shared_generators", "with_index"]

_locks: dict[torch.device, threading.RLock] = {}


def shared_generators(device: torch.device | str = "cpu") -> list[torch.Generator]:
    """Return torch's CPU generator and, for a GPU, the generator of that GPU.

    Example:
        >>> [generator.device.type for generator in shared_generators("cpu")]
        ['cpu']
    """
    device = torch.device(device)
    if device.type != "cuda":
        return [torch.default_generator]
    return [torch.default_generator, torch.cuda.default_generators[with_index(device).index]]


def seed_all(seed: int) -> None:
    """Do what ``torch.manual_seed`` does, in a thousandth of its time where there is the CPU alone.

    That queues a call for every kind of device that is not initialised, with a stack trace, which
    takes longer than a small layer; and the call stays queued when the state is restored.

    Example:
        >>> seed_all(0)
        >>> drawn = torch.rand(3)
        >>> _ = torch.manual_seed(0)
        >>> torch.equal(torch.rand(3), drawn)
        True
    """
    if hasattr(torch, "accelerator") and not torch.accelerator.is_available():
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def with_index(device: torch.device) -> torch.device:
    """Say which GPU ``cuda`` is; other devices are returned as they are."""
    index: int | None = device.index  # torch's stubs leave out that it may be None
    if device.type != "cuda" or index is not None:
        return device
    return torch.device("cuda", torch.cuda.current_device())


class GeneratorLock:
    """Keeps other threads from changing the state of generators inside a ``with`` block.

    A thread may hold the same generator several times over. Whoever holds the CPU's and a
    GPU's takes the CPU's first, as `shared_generators` gives them, so that no two threads wait
    for each other.

    Example:
        >>> with GeneratorLock(shared_generators()), GeneratorLock(shared_generators()):
        ...     state = torch.get_rng_state()
    """

    __slots__ = ("_mine",)

    def __init__(self, generators: Iterable[torch.Generator]) -> None:
        self._mine = [
            _locks.get(generator.device) or _locks.setdefault(generator.device, threading.RLock())
            for generator in generators
        ]

    def __enter__(self) -> None:
        for lock in self._mine:
            lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for lock in self._mine:
            lock.release()


if hasattr(os, "register_at_fork"):
    # what another thread held at a fork, nobody would ever release in the child
    os.register_at_fork(after_in_child=_locks.clear)

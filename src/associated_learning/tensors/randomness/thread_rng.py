"""Keyed randomness of one thread, beside other threads that draw at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from associated_learning.tensors.nested import tensors_in
from associated_learning.tensors.randomness.generators import shared_generators
from associated_learning.tensors.randomness.keyed import derive_seed
from associated_learning.tensors.randomness.rng_dispatch import intercept, switch

__all__ = ["is_random", "thread_seeded"]


@contextmanager
def thread_seeded(*key: int | str, device: torch.device | str = "cpu") -> Iterator[None]:
    """Let the calling thread draw as in `seeded`, but from generators of its own.

    The numbers are the same to the last bit, and torch's shared generators stay untouched. Caught
    is whatever torch's own operations draw on this thread, also inside of compiled modules. Not
    caught are other threads, with a backward pass on a GPU among them, kernels of other packages
    that go to the shared generators by themselves, and calls such as ``torch.manual_seed`` and
    ``torch.random.fork_rng``, which go on to mean the shared generators. A backward pass after the
    block draws from the shared generators.

    Args:
        key: Integers and strings that name this use of randomness.
        device: Where the random numbers are drawn; what is drawn on the CPU is always keyed too.

    Raises:
        InputError: The block draws under ``torch.utils.checkpoint``, which could not repeat it, or
            by cuDNN's recurrent dropout, which cannot be keyed.

    Example:
        >>> from associated_learning.tensors.randomness.keyed import seeded
        >>> with seeded(0, 1, 2):
        ...     expected = torch.rand(3)
        >>> with thread_seeded(0, 1, 2):
        ...     torch.equal(torch.rand(3), expected)
        True
    """
    intercept()
    before = switch(_own_generators(derive_seed(*key), device))
    try:
        yield
    finally:
        switch(before)


def is_random(call: Callable[..., Any], *args: Any) -> bool:
    """Tell whether a call draws random numbers, by running it once.

    Args:
        call: Any function; what else it does, such as changing buffers, is done.
        args: Its arguments; it may draw on their device, beside the CPU.

    Example:
        >>> drop = torch.nn.Dropout()
        >>> is_random(drop, torch.ones(2)), is_random(drop.eval(), torch.ones(2))
        (True, False)
    """
    devices = {tensor.device for tensor in tensors_in(args)}
    own, untouched = (_own_generators(0, *devices) for _ in range(2))
    intercept()
    before = switch(own)
    try:
        call(*args)
    finally:
        switch(before)
    return any(not torch.equal(own[at].get_state(), untouched[at].get_state()) for at in own)


def _own_generators(seed: int, *devices: torch.device | str) -> dict[torch.device, torch.Generator]:
    found = {shared.device for device in devices for shared in shared_generators(device)}
    return {at: torch.Generator(at).manual_seed(seed) for at in found}

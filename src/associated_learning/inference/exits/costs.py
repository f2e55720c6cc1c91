"""What inference costs at each depth, counted in floating-point operations."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from associated_learning.inference.exits.policy import ExitPolicy
from associated_learning.network import ALNetwork, Network
from associated_learning.tensors.batch_rows import num_samples
from associated_learning.tensors.devices import device_of
from associated_learning.tensors.modes import evaluating, unfused_attention
from associated_learning.tensors.nested import to_device

__all__ = ["DepthCosts", "depth_flops", "full_flops"]


class DepthCosts(NamedTuple):
    """Mean costs of a sample, by depth 1, 2, ..., L.

    Attributes:
        encoders: Of each encoder ``f_k``.
        exits: Of each exit: readout, ``b_k`` and ``h_k .. h_1``.
    """

    encoders: tuple[float, ...]
    exits: tuple[float, ...]

    @property
    def prefixes(self) -> tuple[float, ...]:
        """Cost of each prefix as a model of its own: encoders so far, and one exit."""
        below = itertools.accumulate(self.encoders)
        return tuple(f + exit_ for f, exit_ in zip(below, self.exits, strict=True))

    def leaving(self, policy: ExitPolicy) -> tuple[float, ...]:
        """Return the cost of a sample that leaves at each depth, exits asked before included."""
        parts = zip(self.encoders, self.exits, strict=True)
        asked = (
            encoder + (exit_ if policy.asks(depth) else 0.0)
            for depth, (encoder, exit_) in enumerate(parts, start=1)
        )
        return tuple(itertools.accumulate(asked))


def depth_flops(net: ALNetwork, x: Any) -> DepthCosts:
    """Count floating-point operations of matrix products and convolutions (two each).

    Args:
        net: The network; its mode is restored.
        x: A batch of inputs, padding and all.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> layer = al.ALLayer(
        ...     f=nn.Linear(4, 8), b=nn.Linear(8, 5), g=nn.Linear(3, 5), h=nn.Linear(5, 3)
        ... )
        >>> depth_flops(al.ALNetwork([layer], target=al.Classes(3)), torch.ones(2, 4))
        DepthCosts(encoders=(64.0,), exits=(110.0,))
    """
    count, encoders, exits = num_samples(x), [], []
    with evaluating(net), unfused_attention():
        s = to_device(x, device_of(net))
        for depth, layer in enumerate(net.al_layers(), start=1):
            s, flops = _counted(partial(layer.f, s))
            encoders.append(flops / count)
            latent, bridge = _counted(partial(layer.bridge, s))
            _, decoders = _counted(partial(net.decode, latent, depth))
            exits.append((bridge + decoders) / count)
    return DepthCosts(tuple(encoders), tuple(exits))


def full_flops(net: Network, x: Any) -> float:
    """Count the operations of a sample through the whole of any network, as `depth_flops` does.

    Args:
        net: The network; its mode is restored.
        x: A batch of inputs, padding and all.
    """
    with evaluating(net), unfused_attention():
        _, flops = _counted(partial(net, to_device(x, device_of(net))))
    return flops / num_samples(x)


def _counted(function: Callable[[], Any]) -> tuple[Any, int]:
    # in-place products are those of LSTMKernel; torch's counter knows only the others
    known = {torch.ops.aten.addmm_: _product_flops}
    with FlopCounterMode(display=False, custom_mapping=known) as counter:
        return function(), counter.get_total_flops()


def _product_flops(total: torch.Size, a: torch.Size, b: torch.Size, **_: Any) -> int:
    return 2 * a[0] * a[1] * b[1]

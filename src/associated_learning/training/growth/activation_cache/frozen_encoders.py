"""The frozen layers of a network: what they give, and what tells them from others."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from torch import nn

from associated_learning.network import ALNetwork
from associated_learning.tensors.batch_checks import explained
from associated_learning.tensors.chain import encode
from associated_learning.tensors.devices import device_of
from associated_learning.tensors.modes import evaluating
from associated_learning.tensors.nested import to_device
from associated_learning.training.growth.activation_cache.digests import encoder_digests

__all__ = ["FrozenEncoders"]


class FrozenEncoders:
    """The lowest encoders of a network, in evaluation mode.

    Raises:
        InputError: There are not so many.
    """

    def __init__(self, net: ALNetwork, depth: int) -> None:
        self._encoders = nn.ModuleList(net.encoders()[: net.check_depth(depth)])
        self._device = device_of(net)

    def __call__(self, x: Any) -> Any:
        """Return ``s_k`` of a batch."""
        s = to_device(x, self._device)
        with evaluating(self._encoders), explained("the layers cannot take a batch", x):
            return encode(self._encoders, s)

    def description(self) -> dict[str, Any]:
        """Return what tells these layers, as this version of the library runs them, from others."""
        own = {"version": version("associated-learning"), "layers": len(self._encoders)}
        return {**own, **encoder_digests(self._encoders)}

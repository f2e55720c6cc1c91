"""The layers above frozen ones, as a network that learns from what those give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from typing_extensions import Self

from associated_learning.errors import InputError
from associated_learning.layer import ALLayer, JointLayers, LayerOutput
from associated_learning.network import ALNetwork, Network
from associated_learning.tensors.chain import encode, encodings

__all__ = ["UpperLayers"]


class UpperLayers(Network):
    r"""The layers of a network above the ``below`` lowest, which are frozen.

    Its inputs are ``s_k`` of the frozen layers, as `ActivationCache` has them stored, and y, of
    which the frozen g make ``t_k = g_k(.. g_1(t_0))``. The layers are those of the network
    itself: what is trained here is trained there. They keep their numbers, which key their
    randomness, so that they end with the same bits as when the whole network trains on the same
    batches with its lowest layers frozen, if the cache holds the bits that these give.

    Depth d is depth ``below + d`` of the network. Learning rates and schedules as lists have one
    for each layer of the whole network. Checkpoints hold the upper layers alone.

    Args:
        net: The network.
        below: How many layers are frozen.

    Raises:
        InputError: No layer is above, one below still trains, or the layer above trains it.

    Example:
        `cache_activations` makes its inputs once and for all; here they are made by hand.

        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> x, y = torch.randn(8, 4), torch.arange(8) % 2
        >>> net = al.al_form([nn.Linear(4, 8), nn.Linear(8, 6)], x, al.Classes(2), latent=5)
        >>> _ = net.layers[:1].requires_grad_(False)
        >>> upper, s = al.UpperLayers(net, 1), net.layers[0].f(x).detach()
        >>> state = al.Trainer(epochs=2).fit(upper, al.LoaderBatches([(s, y)]))
        >>> torch.equal(upper(s), net(x))
        True
    """

    def __init__(self, net: ALNetwork, below: int) -> None:
        super().__init__()
        self._check(net, below)
        self.network = net
        self.below = below
        self.target = net.target

    @staticmethod
    def _check(net: ALNetwork, below: int) -> None:
        if not isinstance(below, int) or not 1 <= below < net.num_layers:
            raise InputError(
                f"below={below} came for a network of {net.num_layers} layers; expected 1 to "
                f"{net.num_layers - 1}. Append the layer that is to be trained first."
            )
        if any(p.requires_grad for p in net.layers[:below].parameters()):
            raise InputError(
                f"the {below} lowest layers came with weights that can still train; expected "
                f"frozen ones. Call net.layers[:{below}].requires_grad_(False) first."
            )
        if not net.al_layers()[below].stop_gradients:
            raise InputError(
                f"layer {below + 1} came without its gradient stop, so that it trains layer "
                f"{below}, which is frozen. Freeze fewer or more layers."
            )

    @property
    def num_layers(self) -> int:
        return self.network.num_layers - self.below

    def _layers(self) -> list[ALLayer]:
        return self.network.al_layers()[self.below :]

    def _encoders(self) -> list[nn.Module]:
        return self.network.encoders()[self.below :]

    def blocks(self) -> list[nn.Module]:
        blocks, frozen, count = self.network.blocks(), list[nn.Module](), 0
        while count < self.below:
            layers = _layers_of(blocks.pop(0))
            count += len(layers)
            frozen.append(TargetEncoders(layers))
        return [*frozen, *blocks]

    def parts(self) -> dict[str, nn.Module]:
        return dict(list(self.network.parts().items())[self.below :])

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the upper layers; the frozen ones stay in evaluation mode."""
        super().train(mode)
        for layer in self.network.al_layers()[: self.below]:
            layer.eval()
        return self

    def forward(self, s: Any, depth: int | None = None) -> Tensor:
        """Answer from ``s_k`` through some of the upper layers: ``[B, target.size]``."""
        depth = self.check_depth(depth)
        s = encode(self._encoders()[:depth], s)
        return self.network.decode(self._layers()[depth - 1].bridge(s), self.below + depth)

    def exits(self, x: Any) -> Iterator[Tensor]:
        pairs = zip(self._layers(), encodings(self._encoders(), x), strict=True)
        for depth, (layer, s) in enumerate(pairs, start=self.below + 1):
            yield self.network.decode(layer.bridge(s), depth)

    def inference_modules(self, depth: int) -> list[nn.Module]:
        whole = self.network.inference_modules(self.below + self.check_depth(depth))
        return whole[self.below :]


class TargetEncoders(nn.Module):
    """A frozen block whose ``s`` is known: it hands on s as it came, and ``t_i = g_i(t_{i-1})``."""

    def __init__(self, layers: list[ALLayer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, s: Any, t: Tensor) -> LayerOutput:
        """Return ``s``, ``t_i``, and no losses."""
        for layer in self.layers:
            t = layer.g(t)  # type: ignore[operator]
        return LayerOutput(s, t, {})


def _layers_of(block: nn.Module) -> list[ALLayer]:
    if isinstance(block, JointLayers):
        return list(block.layers)  # type: ignore[arg-type]
    assert isinstance(block, ALLayer)
    return [block]

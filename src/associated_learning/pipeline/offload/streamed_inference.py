"""Inference over a store: one layer at a time takes a window of batches (Algorithm 3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from torch import Tensor, nn

from associated_learning.network import ALNetwork, Network
from associated_learning.pipeline.offload.lazy_layers import LazyLayers
from associated_learning.tensors.batch_checks import explained
from associated_learning.tensors.outputs import OutputReader, as_it_is

__all__ = ["StreamedNetwork", "streamed_exits"]


class StreamedNetwork(Network):
    """A network whose layers lie in a store, to be evaluated: same layers, same answers.

    Args:
        net: The network.
        calls: Fetches its layers.
        window: Largest number of batches that a layer takes before the next one comes.
    """

    def __init__(self, net: ALNetwork, calls: LazyLayers, *, window: int) -> None:
        super().__init__()
        self.net = net
        self.target = net.target
        self._calls = calls
        self._window = window

    @property
    def num_layers(self) -> int:
        return self.net.num_layers

    def blocks(self) -> list[nn.Module]:
        return self.net.blocks()

    def parts(self) -> dict[str, nn.Module]:
        return self.net.parts()

    def exits(self, x: Any) -> Iterator[Tensor]:
        yield from next(self.exits_of([x]))

    def forward(self, x: Any, depth: int | None = None) -> Tensor:
        """Return what the network gives, layer after layer as they are called."""
        output: Tensor = self.net(x, depth)
        return output

    def inference_modules(self, depth: int) -> list[nn.Module]:
        return self.net.inference_modules(depth)

    def exits_of(
        self, batches: Iterable[Any], read: OutputReader = as_it_is
    ) -> Iterator[list[Any]]:
        return streamed_exits(self.net, self._calls, batches, read, window=self._window)


def streamed_exits(
    net: ALNetwork,
    calls: LazyLayers,
    batches: Iterable[Any],
    read: OutputReader = as_it_is,
    *,
    window: int,
) -> Iterator[list[Any]]:
    """Yield the outputs of every depth for each of several batches, window by window.

    Args:
        net: The network.
        calls: Fetches its layers.
        batches: Of inputs.
        read: See `Network.exits_of`; without it the outputs of a whole window are kept.
        window: Largest number of batches that a layer takes before the next one comes.
    """
    left, first = iter(batches), 0
    while s := list(islice(left, window)):
        yield from _exits(net, calls, s, first, read)
        first += len(s)


def _exits(
    net: ALNetwork, calls: LazyLayers, s: list[Any], first: int, read: OutputReader
) -> list[list[Any]]:
    """Return the outputs of every depth for each batch of a window, which begins at a number.

    Decoders of the layers below stay in memory meanwhile: every depth runs them.
    """
    outputs: list[list[Any]] = [[] for _ in s]
    try:
        for depth, layer in enumerate(net.al_layers(), start=1):
            calls.fetch(f"layer-{depth}")
            calls.pin(layer.h)
            for k in range(len(s)):
                with explained(f"the network cannot take batch {first + k}", s[k]):
                    s[k] = layer.f(s[k])
                    output = net.decode(layer.bridge(s[k]), depth)
                    outputs[k].append(read(first + k, depth, output))
                    del output  # before the next one is made
    finally:
        calls.unpin()
    return outputs

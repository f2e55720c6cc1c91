"""Law 5 over a store: layers that come one by one give the features of the model itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from associated_learning.conversion import ConvertedNetwork
from associated_learning.conversion.tracing.record import same_draws
from associated_learning.errors import ConversionError, Fault
from associated_learning.pipeline.offload.lazy_layers import LazyLayers
from associated_learning.pipeline.offload.stored_network import StoredNetwork
from associated_learning.tensors.chain import encodings
from associated_learning.tensors.hollow import weights_of
from associated_learning.tensors.modes import evaluating

__all__ = ["check_features"]


def check_features(net: ConvertedNetwork, stored: StoredNetwork, example: Any) -> None:
    """Raise ConversionError if chained layers give other features than the model, in any bit.

    Both run with the weights of the store, of which those of one layer are in memory at a time.
    Conversion compared them with one number in the place of every weight, which would not tell
    two layers apart.
    """
    model, layers = net.backbone(), stored.al_layers()
    with evaluating(stored), evaluating(model), torch.no_grad():
        with _fetched(model, stored):
            expected = net.backbone_features(example)
        with same_draws():
            *_, last = encodings([layer.f for layer in layers[: len(net.plan.layers)]], example)
        stored.calls.drop()
    if not torch.equal(last.values, expected):
        raise ConversionError(
            [
                Fault(
                    "the model itself",
                    "its layers, read from the store one by one, give other features than the "
                    "model with the same weights",
                    "Report it with the model's configuration; training in memory (--store host) "
                    "is not concerned.",
                )
            ]
        )


@contextmanager
def _fetched(model: nn.Module, stored: StoredNetwork) -> Iterator[None]:
    """Let every module of a model find its layer's weights in memory when it runs."""
    owners = {
        id(tensor): name
        for name, part in stored.parts().items()
        for tensor in weights_of(part).values()
    }
    hooks = []
    for module in model.modules():
        own = [owners[id(p)] for p in module.parameters(recurse=False) if id(p) in owners]
        if own:
            hooks.append(module.register_forward_pre_hook(_Fetch(stored.calls, own[0])))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        stored.calls.drop()


class _Fetch:
    """A hook before a module that fetches the layer it belongs to."""

    def __init__(self, calls: LazyLayers, name: str) -> None:
        self._calls = calls
        self._name = name

    def __call__(self, module: nn.Module, arguments: Any) -> None:
        self._calls.fetch(self._name)

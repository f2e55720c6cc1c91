"""Windows of two layers that overlap: a layer also learns by the loss of the one above it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from associated_learning.errors import InputError
from associated_learning.layer import ALLayer
from associated_learning.models.overlap import PARTS, OverlapLoss
from associated_learning.tensors.copying import copied
from associated_learning.tensors.hollow import is_hollow

__all__ = ["add_overlaps"]


def add_overlaps(layers: Sequence[ALLayer]) -> None:
    """Give every layer below the last an `OverlapLoss` of the layer above it.

    Raises:
        InputError: Layers are joined or have no associated loss, there is only one, or their
            weights are not in memory.
    """
    for given, what in (
        (len(layers) < 2, "one layer, above which there is none"),
        (not all(layer.stop_gradients for layer in layers), "gradient stops turned off"),
        (not all(layer.use_associated for layer in layers), "layers without associated loss"),
        (
            any(is_hollow(p) for layer in layers for p in layer.parameters()),
            "a model that is read a layer at a time",
        ),
    ):
        if given:
            raise InputError(f"overlap=True came for {what}; leave it out.")
    for layer, above in itertools.pairwise(layers):
        parts = {name: copied(above.get_submodule(name)) for name in PARTS}
        layer.window = OverlapLoss(parts, above.association)

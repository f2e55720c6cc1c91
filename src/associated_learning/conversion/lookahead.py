"""Lookahead bridges: each layer's readout gets private copies of the blocks that follow it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from associated_learning.conversion.copying import copied
from associated_learning.conversion.options import ALOptions
from associated_learning.errors import InputError
from associated_learning.models.lookahead import Lookahead
from associated_learning.tensors.chain import encodings
from associated_learning.tensors.hollow import is_hollow
from associated_learning.tensors.modes import evaluating
from associated_learning.tensors.nested import map_tensors, tensors_in

__all__ = ["check_no_writes", "lookahead", "seen_layers"]


def seen_layers(count: int, options: ALOptions) -> list[int]:
    """Return for each layer, from 0, the number of the layer whose readout its bridge uses.

    Args:
        count: Number of layers.
        options: What the user wishes.

    Raises:
        InputError: The number of blocks is no whole number above 0.

    Example:
        >>> seen_layers(4, ALOptions(bridge="block", bridge_blocks=2)), seen_layers(2, ALOptions())
        ([2, 3, 3, 3], [0, 1])
    """
    blocks = options.bridge_blocks
    if not isinstance(blocks, int) or blocks < 1:
        raise InputError(f"bridge_blocks={blocks} came; expected a whole number above 0.")
    ahead = blocks if options.bridge == "block" else 0
    return [min(i + ahead, count - 1) for i in range(count)]


def lookahead(
    i: int, encoders: Sequence[nn.Module], readouts: Sequence[nn.Module], options: ALOptions
) -> nn.Module:
    """Return what the bridge of layer ``i``, from 0, reads: its own readout, or a `Lookahead`.

    Args:
        i: Number of the layer.
        encoders: ``f_1 .. f_L``; the copies begin with their weights.
        readouts: Each layer's own.
        options: What the user wishes.

    Raises:
        InputError: The encoders' weights are not in memory.
    """
    seen = seen_layers(len(encoders), options)[i]
    if seen == i:
        return readouts[i]
    if any(is_hollow(p) for f in encoders[i + 1 : seen + 1] for p in f.parameters()):
        raise InputError(
            'bridge="block" came for a model that is read a layer at a time: its bridges begin as '
            "copies of the next layers, which are not in memory. Take another bridge, or --store "
            "host."
        )
    made = Lookahead(map(copied, encoders[i + 1 : seen + 1]), copied(readouts[seen]))
    return made.requires_grad_(False) if options.bridge_frozen else made


def check_no_writes(encoders: Sequence[nn.Module], example: Any) -> None:
    """Check that no encoder writes into its input, which would change what a layer hands on.

    Args:
        encoders: ``f_1 .. f_L``.
        example: A batch of inputs.

    Raises:
        InputError: One does.
    """
    activations = encodings(encoders[:-1], example)
    for i, f in enumerate(encoders[1:], start=2):
        with evaluating(encoders[i - 2]), evaluating(f), torch.no_grad():
            s = next(activations)
            before = tensors_in(map_tensors(Tensor.clone, s))
            f(s)
        if not all(map(_equal, before, tensors_in(s))):
            raise InputError(
                f"encoder {i} ({type(f).__name__}) writes into its input, so that its copy in the "
                f"bridge of layer {i - 1} would change what that layer hands on; make it leave its "
                'input alone (inplace=False), or take another bridge than "block".'
            )


def _equal(old: Tensor, new: Tensor) -> bool:
    return bool(torch.equal(torch.nan_to_num(old), torch.nan_to_num(new)))

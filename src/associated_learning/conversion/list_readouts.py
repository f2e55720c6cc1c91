"""How bridges see what a list of encoders gives: measured on an example."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from associated_learning.conversion.positions import (
    kept_positions,
    positions_of_input,
    resizing,
)
from associated_learning.conversion.readouts import read_tensor
from associated_learning.errors import InputError
from associated_learning.layer import PerLayer, one_for_each
from associated_learning.models.readouts import MaskedMean
from associated_learning.targets import Target
from associated_learning.tensors.batch_checks import check_finite
from associated_learning.tensors.chain import encodings
from associated_learning.tensors.modes import evaluating
from associated_learning.tensors.padded_sequence import PaddedSequence

__all__ = ["Readouts", "read_by", "readouts_for"]


class Readouts(NamedTuple):
    """How bridges see what encoders give.

    Attributes:
        modules: A readout for each layer.
        widths: The width that each of them gives.
        resizes: Where y has positions: for each layer what brings those of the readout to y's, or
            None where they are the same.
    """

    modules: list[nn.Module]
    widths: list[int]
    resizes: list[nn.Module | None]


def readouts_for(
    encoders: list[nn.Module], example: Any, readout: PerLayer[nn.Module] | None, target: Target
) -> Readouts:
    """Return each layer's readout and the width it gives, measured on the example.

    Raises:
        InputError: No encoder came, or the example does not pass through.
    """
    if not encoders:
        raise InputError("no encoders came to convert; expected at least one module.")
    check_finite(example, "example")
    given = one_for_each("readouts", readout, len(encoders))
    found, activations = Readouts([], [], []), encodings(encoders, example)
    for i, (f, module) in enumerate(zip(encoders, given, strict=True), start=1):
        with evaluating(f):
            try:
                s = next(activations)
            except (RuntimeError, TypeError, ValueError, AttributeError, IndexError) as error:
                raise InputError(f"encoder {i} ({type(f).__name__}) fails: {error}") from error
        chosen = _choose_readout(s, target) if module is None else module
        read = read_by(i, chosen, s, target.positions)
        wanted = positions_of_input(example, target) if target.positions else ()
        found.modules.append(chosen)
        found.widths.append(read.shape[-1])
        found.resizes.append(resizing(i, read, wanted) if wanted else None)
    return found


def read_by(i: int, readout: nn.Module, s: Any, positions: int = 0) -> Tensor:
    """Return what a layer's readout gives, ``[B, *P, W]``, where y has so many axes of positions.

    Raises:
        InputError: It is no vector a sample, or a position.
    """
    if not isinstance(readout, nn.Module):
        raise InputError(f"readout {readout!r} came for layer {i}; expected a module.")
    with torch.no_grad():
        read = readout(s)
    if not isinstance(read, Tensor) or read.dim() != 2 + positions:
        shape = list(read.shape) if isinstance(read, Tensor) else type(read).__name__
        expected = "a vector a position, [B, ..., W]" if positions else "a vector a sample, [B, W]"
        raise InputError(f"the readout of layer {i} returns {shape}; expected {expected}.")
    return read


def _choose_readout(s: Any, target: Target) -> nn.Module:
    """Choose how ``s_i`` becomes a vector: the masked mean of sequences, a grid of images."""
    if target.positions:
        return kept_positions(s, target)
    if isinstance(s, PaddedSequence):
        return MaskedMean()
    if isinstance(s, Tensor) and s.dim() in (2, 4):
        return read_tensor(s, axis=1).module
    shape = list(s.shape) if isinstance(s, Tensor) else type(s).__name__
    raise InputError(
        f"no readout is known for an activation of {shape}; expected a PaddedSequence, "
        "[B, C, H, W] or [B, D]. Pass readout=, a module that returns a vector a sample."
    )

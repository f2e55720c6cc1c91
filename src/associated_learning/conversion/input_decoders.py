"""Layers that also reconstruct their own input: which decoder each of them gets."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from associated_learning.conversion.readouts import BatchFirst, ChannelsFirst
from associated_learning.conversion.slicing.slice import Stream
from associated_learning.errors import InputError
from associated_learning.layer import ALLayer
from associated_learning.models.input_decoder import ImageDecoder, InputDecoder
from associated_learning.tensors.chain import encodings
from associated_learning.tensors.devices import device_of
from associated_learning.tensors.hollow import is_hollow
from associated_learning.tensors.modes import evaluating
from associated_learning.tensors.padded_sequence import PaddedSequence, activation_values

__all__ = ["add_input_decoders"]


def add_input_decoders(layers: Sequence[ALLayer], example: Any, weight: float) -> None:
    """Give every layer below the last what it reconstructs its input with (Wang et al., 2021).

    A layer whose input is token ids has nothing to reconstruct.

    Args:
        layers: From the input up.
        example: A batch of inputs.
        weight: Of the loss; 0 for none.

    Raises:
        InputError: The weight is none, an activation is of a shape without a decoder, or there is
            no layer to give one to.
    """
    if not (isinstance(weight, (int, float)) and 0 <= weight < math.inf):
        raise InputError(f"input_loss={weight} came; expected a weight of at least 0.")
    if not weight:
        return
    if any(is_hollow(p) for layer in layers for p in layer.f.parameters()):
        raise InputError(
            f"input_loss={weight} came for a model that is read a layer at a time, so that the "
            "shapes of its activations are not known; leave it out, or take --store host."
        )
    lower = layers[:-1]
    encoders = nn.ModuleList(layer.f for layer in lower)
    with evaluating(encoders), torch.no_grad():
        steps = list(itertools.pairwise([example, *encodings(encoders, example)]))
    for i, (layer, (before, s)) in enumerate(zip(lower, steps, strict=True), start=1):
        if _is_real(before):
            decode = _decoder(i, layer, before, s).to(device_of(layer.f))
            layer.input_decoder = InputDecoder(decode, float(weight))
    if not any(layer.input_decoder for layer in lower):
        raise InputError(
            f"input_loss={weight} came for a network in which no layer below the last has an input "
            "of real numbers; leave it out, or cut the model into more layers."
        )


def _is_real(s: Any) -> bool:
    """Whether an input is of real numbers, unlike token ids and dictionaries of inputs."""
    values = s.values if isinstance(s, (PaddedSequence, Stream)) else s
    return isinstance(values, Tensor) and values.is_floating_point()


def _decoder(i: int, layer: ALLayer, before: Any, s: Any) -> nn.Module:
    old, new = activation_values(before), activation_values(s)
    moved = any(isinstance(m, (BatchFirst, ChannelsFirst)) for m in layer.readout.modules())
    padded = isinstance(before, PaddedSequence) and isinstance(s, PaddedSequence)
    if padded or (old.dim() == new.dim() == 2 and not moved):
        if old.shape[:-1] == new.shape[:-1]:
            return nn.Linear(new.shape[-1], old.shape[-1])
    elif old.dim() == new.dim() == 4 and not moved:
        return ImageDecoder(new.shape[1], old.shape[1])
    raise InputError(
        f"input_loss came for layer {i}, which makes {list(new.shape)} of {list(old.shape)}; "
        "expected vectors [B, D], images [B, C, H, W], or a PaddedSequence of as many positions. "
        "Leave it out."
    )

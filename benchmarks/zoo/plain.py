"""Networks as people write them in plain torch, each with the trait that makes it hard to cut."""

from __future__ import annotations

from collections.abc import Callable

import torch
from architecture import CLASSES, Architecture, Batch, generator
from plain_images import (
    DenselyConnected,
    Inception,
    MLPMixer,
    ResidualCNN,
    UNet,
    plain_cnn,
)
from plain_sequences import (
    LSTMStack,
    MaskedTransformer,
    Siamese,
    TemporalConvolutions,
    TiedBlocks,
    TwoStreams,
    mlp,
    transformer,
)
from torch import nn

__all__ = ["PLAIN"]


def _images(n: int, number: int) -> Batch:
    return torch.randn(n, 3, 16, 16, generator=generator(n, number))


def _vectors(n: int, number: int) -> Batch:
    return torch.randn(n, 20, generator=generator(n, number))


def _pairs(n: int, number: int) -> Batch:
    left, right = torch.randn(2, n, 20, generator=generator(n, number))
    return left, right


def _sequences(n: int, number: int) -> Batch:
    """Draw sequences of 10 vectors; 13 in batch 1."""
    return torch.randn(n, 13 if number == 1 else 10, 20, generator=generator(n, number))


def _padded(n: int, number: int) -> Batch:
    sequences = _sequences(n, number)
    assert isinstance(sequences, torch.Tensor)
    longest = sequences.shape[1]
    lengths = torch.randint(4, longest + 1, (n,), generator=generator(n, number))
    lengths[0] = longest
    if number == 2:
        lengths[:] = longest
    return {"x": sequences, "lengths": lengths}


def _text_and_image(n: int, number: int) -> Batch:
    ids = torch.randint(30, (n, 8), generator=generator(n, number))
    return {"ids": ids, "image": torch.randn(n, 3, 16, 16, generator=generator(n, number))}


def _plain(
    name: str, build: Callable[[int], nn.Module], batch: Callable[[int, int], Batch]
) -> Architecture:
    return Architecture(name=name, kind="plain", build=lambda: build(CLASSES), batch=batch)


PLAIN = [
    _plain("MLP", mlp, _vectors),
    _plain("CNN", plain_cnn, _images),
    _plain("ResidualCNN", ResidualCNN, _images),
    _plain("DenseNet", DenselyConnected, _images),
    _plain("Inception", Inception, _images),
    _plain("UNet", UNet, _images),
    _plain("MLPMixer", MLPMixer, _images),
    _plain("LSTMStack", LSTMStack, _sequences),
    _plain("TemporalConvolutions", TemporalConvolutions, _sequences),
    _plain("Transformer", transformer, _sequences),
    _plain("MaskedTransformer", MaskedTransformer, _padded),
    _plain("Siamese", Siamese, _pairs),
    _plain("TiedBlocks", TiedBlocks, _vectors),
    _plain("TwoStreams", TwoStreams, _text_and_image),
]

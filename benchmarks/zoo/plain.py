"""Networks as people write them in plain torch, each with the trait that makes it hard to cut."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from architecture import CLASSES, PADDED, Architecture, Batch, generator
from plain_images import (
    DenselyConnected,
    Inception,
    LeNet,
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
from plain_texts import CausalTransformer, LoopedGRU, PackedLSTM
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
    return {"x": sequences, "lengths": _lengths(n, number, sequences.shape[1])}


def _lengths(n: int, number: int, longest: int) -> torch.Tensor:
    lengths = torch.randint(4, longest + 1, (n,), generator=generator(n, number))
    lengths[0] = longest
    return lengths if PADDED[number] else torch.full((n,), longest)


def _texts(n: int, number: int) -> Batch:
    """Draw texts of 12 tokens; of 16 in batch 1."""
    return torch.randint(30, (n, 16 if number == 1 else 12), generator=generator(n, number))


def _texts_and_lengths(n: int, number: int) -> Batch:
    texts = _texts(n, number)
    assert isinstance(texts, torch.Tensor)
    return texts, _lengths(n, number, texts.shape[1])


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
    _plain("LeNet", LeNet, _images),
    _plain("DenseNet", DenselyConnected, _images),
    _plain("Inception", Inception, _images),
    _plain("UNet", UNet, _images),
    _plain("MLPMixer", MLPMixer, _images),
    _plain("LSTMStack", LSTMStack, _sequences),
    _plain("PackedLSTM", PackedLSTM, _texts_and_lengths),
    _plain("LoopedGRU", LoopedGRU, _texts),
    _plain("CausalTransformer", CausalTransformer, _texts),
    _plain("TemporalConvolutions", TemporalConvolutions, _sequences),
    _plain("Transformer", transformer, _sequences),
    _plain("MaskedTransformer", MaskedTransformer, _padded),
    _plain("UnpackedTransformer", partial(MaskedTransformer, packs=False), _padded),
    _plain("Siamese", Siamese, _pairs),
    _plain("TiedBlocks", TiedBlocks, _vectors),
    _plain("TwoStreams", TwoStreams, _text_and_image),
]

"""Standardised activations against mean and variance written out by hand."""

from __future__ import annotations

import torch
from torch import Tensor

from associated_learning.models import Standardize
from associated_learning.sequence import Sequence


def _by_hand(values: Tensor) -> Tensor:
    mean = values.sum() / values.numel()
    variance = ((values - mean) ** 2).sum() / values.numel()
    return (values - mean) / (variance + 1e-5).sqrt()


def test_every_sample_alone() -> None:
    for shape in ((3, 8), (3, 2, 4, 4)):
        s = 5 + 3 * torch.randn(shape)
        for one, sample in zip(Standardize()(s), s, strict=True):
            torch.testing.assert_close(one, _by_hand(sample))


def test_every_token_alone_and_padding_stays_zero() -> None:
    s = Sequence(5 + 3 * torch.randn(2, 3, 6), torch.tensor([3, 1]), torch.randn(2, 2, 4))
    s.values[1, 1:] = torch.nan
    found = Standardize()(s)
    for b, n in enumerate(s.lengths):
        for token in range(n):
            torch.testing.assert_close(found.values[b, token], _by_hand(s.values[b, token]))
    assert found.values[1, 1:].abs().sum() == 0
    assert found.state is s.state
    assert found.lengths is s.lengths


def test_how_large_activations_are_does_not_matter() -> None:
    s = torch.randn(4, 16)
    torch.testing.assert_close(Standardize()(100 * s), Standardize()(s), rtol=1e-3, atol=1e-3)

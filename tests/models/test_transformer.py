"""Heads and positions of the Transformer; its masks are under test in test_padding."""

from __future__ import annotations

import math

import pytest
import torch

from associated_learning.errors import InputError
from associated_learning.models import Transformer, TransformerLayer
from associated_learning.models.transformer import sinusoidal_positions
from associated_learning.tensors.padded_sequence import PaddedSequence


@pytest.mark.parametrize(("dim", "heads"), [(300, 6), (100, 5), (64, 4), (7, 1)])
def test_default_heads_divide_the_width(dim: int, heads: int) -> None:
    assert TransformerLayer(dim).block.self_attn.num_heads == heads


@pytest.mark.parametrize(("dim", "advice"), [(100, "use 5 or 4"), (64, "use 8 or 4")])
def test_heads_that_do_not_divide_the_width(dim: int, advice: str) -> None:
    with pytest.raises(InputError, match=f"6 attention heads .* width {dim}; {advice}"):
        Transformer(vocabulary_size=9, embedding_dim=dim, heads=6)


@pytest.mark.parametrize("dim", [6, 7])
def test_positions_follow_the_formula(dim: int) -> None:
    table = sinusoidal_positions(50, dim, torch.zeros(1))
    for position in (0, 3, 49):
        for column in range(dim):
            angle = position / 10_000 ** (column // 2 * 2 / dim)
            wave = math.cos(angle) if column % 2 else math.sin(angle)
            assert table[position, column].item() == pytest.approx(wave, abs=1e-5)


def test_order_of_tokens_matters_only_with_positions() -> None:
    ids = torch.tensor([[3, 4, 5, 6]])
    for positions in (False, True):
        model = Transformer(vocabulary_size=9, embedding_dim=12, dropout=0.0, positions=positions)
        there = model(PaddedSequence(ids, torch.tensor([4])))
        back = model(PaddedSequence(ids.flip(1), torch.tensor([4])))
        assert torch.allclose(there, back, atol=1e-5) is not positions
        assert [layer.positions for layer in model.layers[1:]] == [positions, False]

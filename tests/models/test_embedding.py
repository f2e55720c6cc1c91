"""The embedding: rows of the table at real tokens, zeros at padding."""

from __future__ import annotations

import pytest
import torch

from associated_learning.errors import InputError
from associated_learning.models import TokenEmbedding
from associated_learning.tensors.padded_sequence import PaddedSequence


def test_rows_of_the_given_vectors_and_zeros_at_padding() -> None:
    vectors = torch.randn(6, 3)
    embedding = TokenEmbedding(vocabulary_size=6, dim=3, weights=vectors)
    out = embedding(PaddedSequence(torch.tensor([[5, 2], [4, 3]]), torch.tensor([2, 1])))
    assert torch.equal(out.values[0], vectors[[5, 2]])
    assert torch.equal(out.values[1], torch.stack([vectors[4], torch.zeros(3)]))


def test_given_vectors_are_copied_and_the_padding_row_becomes_zero() -> None:
    vectors = torch.ones(4, 2)
    embedding = TokenEmbedding(vocabulary_size=4, dim=2, weights=vectors, padding_idx=1)
    assert not embedding.table.weight[1].any()
    assert vectors.all()


def test_padding_gets_no_gradient() -> None:
    embedding = TokenEmbedding(vocabulary_size=6, dim=3)
    ids = PaddedSequence(torch.tensor([[5, 4], [2, 3]]), torch.tensor([2, 1]))
    embedding(ids).values.sum().backward()
    gradient = embedding.table.weight.grad
    assert gradient is not None
    assert gradient.any(1).tolist() == [False, False, True, False, True, True]


def test_frozen_vectors_do_not_train() -> None:
    assert not TokenEmbedding(vocabulary_size=6, dim=3, freeze=True).table.weight.requires_grad


def test_wrong_shape_of_vectors() -> None:
    with pytest.raises(InputError, match=r"shape \(5, 3\), expected \(6, 3\)"):
        TokenEmbedding(vocabulary_size=6, dim=3, weights=torch.zeros(5, 3))


@pytest.mark.parametrize("bad", [6, -1])
def test_id_outside_the_vocabulary(bad: int) -> None:
    embedding = TokenEmbedding(vocabulary_size=6, dim=3)
    with pytest.raises(InputError, match=r"must lie in 0\.\.5, got .*encode the texts"):
        embedding(PaddedSequence(torch.tensor([[bad, 1]]), torch.tensor([2])))


def test_floats_are_no_ids() -> None:
    embedding = TokenEmbedding(vocabulary_size=6, dim=3)
    with pytest.raises(InputError, match=r"integer token ids, got torch\.float32"):
        embedding(PaddedSequence(torch.zeros(1, 2), torch.tensor([2])))

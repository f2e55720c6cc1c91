"""The word embedding: the first encoder (EMB) of the text models."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from associated_learning.errors import InputError
from associated_learning.tensors.padded_sequence import PaddedSequence

__all__ = ["TokenEmbedding"]


class TokenEmbedding(nn.Module):
    """Token ids to vectors: a `PaddedSequence` of ``[B, T]`` to one of ``[B, T, dim]``.

    Vectors at padding are zero, whatever ids stand there. With the paper's text models this
    is an Associated Learning layer of its own (section 2.2, "Word Embedding").

    Args:
        vocabulary_size: Number of rows.
        dim: Width of the vectors.
        padding_idx: The row that stays zero.
        weights: Pre-trained vectors ``[vocabulary_size, dim]``, copied; the padding row of
            the copy becomes zero.
        dropout: Probability on the vectors.
        freeze: Do not train the vectors.

    Raises:
        InputError: ``weights`` has another shape, the input holds no integers, or an id is
            outside the vocabulary.

    Example:
        >>> import torch
        >>> embedding = TokenEmbedding(vocabulary_size=10, dim=4)
        >>> ids = PaddedSequence(torch.tensor([[5, 6], [8, 7]]), torch.tensor([2, 1]))
        >>> embedding(ids).values[1, 1].tolist()
        [0.0, 0.0, 0.0, 0.0]
    """

    def __init__(
        self,
        *,
        vocabulary_size: int = 30_000,
        dim: int = 300,
        padding_idx: int = 0,
        weights: Tensor | None = None,
        dropout: float = 0.0,
        freeze: bool = False,
    ) -> None:
        super().__init__()
        self.table = nn.Embedding(vocabulary_size, dim, padding_idx=padding_idx)
        self.dropout = nn.Dropout(dropout)
        self.padding_idx = padding_idx
        if weights is not None:
            self._load(weights)
        self.table.weight.requires_grad_(not freeze)

    def forward(self, s: PaddedSequence) -> PaddedSequence:
        """Return the vectors ``[B, T, dim]`` with the same lengths."""
        if s.values.dtype not in (torch.int64, torch.int32):
            raise InputError(f"TokenEmbedding needs integer token ids, got {s.values.dtype}.")
        ids = s.values.masked_fill(~s.mask(), self.padding_idx)
        try:
            vectors = self.table(ids)
        except IndexError as error:
            raise InputError(
                f"Token ids must lie in 0..{self.table.num_embeddings - 1}, got "
                f"{int(ids.min())}..{int(ids.max())}; encode the texts with this vocabulary."
            ) from error
        return PaddedSequence(self.dropout(vectors), s.lengths)

    def _load(self, weights: Tensor) -> None:
        expected = tuple(self.table.weight.shape)
        if tuple(weights.shape) != expected:
            raise InputError(
                f"Embedding weights have shape {tuple(weights.shape)}, expected {expected} "
                "(vocabulary_size, dim); set both to fit the vectors."
            )
        with torch.no_grad():
            self.table.weight.copy_(weights)
            self.table.weight[self.padding_idx].zero_()

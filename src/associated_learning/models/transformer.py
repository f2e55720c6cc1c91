"""The paper's Transformer text classifier (sections 2.2 and 6.5.2, Table 8)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from associated_learning.errors import InputError
from associated_learning.models.dense import dense_head
from associated_learning.models.embedding import TokenEmbedding
from associated_learning.models.layered import LayeredModel
from associated_learning.models.readouts import MaskedMean
from associated_learning.tensors.padded_sequence import PaddedSequence

__all__ = ["Transformer", "TransformerLayer", "sinusoidal_positions"]

_PAPER_HEADS = 6


def sinusoidal_positions(length: int, dim: int, like: Tensor) -> Tensor:
    """Return the sines and cosines of Vaswani et al. (2017), section 3.5: ``[length, dim]``.

    Args:
        length: Number of positions.
        dim: Width; even columns hold sines, odd ones cosines.
        like: The result has its device and dtype.

    Example:
        >>> import torch
        >>> sinusoidal_positions(2, 4, torch.zeros(1))[0].tolist()
        [0.0, 1.0, 0.0, 1.0]
    """
    columns = torch.arange(0, dim, 2, device=like.device)
    rates = torch.exp(columns * (-math.log(10_000.0) / dim))
    angles = torch.arange(length, device=like.device).unsqueeze(1) * rates
    pairs = torch.stack([angles.sin(), angles.cos()], dim=2)
    return pairs.flatten(1)[:, :dim].to(like.dtype)


class TransformerLayer(nn.Module):
    """`nn.TransformerEncoderLayer` with true masks: ``[B, T, D]`` to ``[B, T, D]``.

    Args:
        dim: Width D.
        heads: Number of attention heads; must divide ``dim``. If left out, 6 as in the paper
            where that divides ``dim``, else the largest divisor below.
        feedforward: Width of the inner dense layer.
        dropout: Probability inside the layer.
        norm_first: Normalise before each block instead of after it.
        positions: Add sinusoidal positions to the inputs.

    Raises:
        InputError: ``heads`` does not divide ``dim``.

    Example:
        >>> import torch
        >>> layer = TransformerLayer(12, feedforward=8)
        >>> layer(PaddedSequence(torch.zeros(2, 5, 12), torch.tensor([5, 2]))).values.shape
        torch.Size([2, 5, 12])
    """

    def __init__(
        self,
        dim: int,
        *,
        heads: int | None = None,
        feedforward: int = 512,
        dropout: float = 0.1,
        norm_first: bool = False,
        positions: bool = False,
    ) -> None:
        super().__init__()
        self.block = nn.TransformerEncoderLayer(
            dim,
            _heads(dim, heads),
            feedforward,
            dropout,
            batch_first=True,
            norm_first=norm_first,
        )
        self.positions = positions

    def forward(self, s: PaddedSequence) -> PaddedSequence:
        """Return values ``[B, T, D]``, zero at padding, with the same lengths."""
        padding = ~s.mask()
        x = s.values
        if self.positions:
            x = x + sinusoidal_positions(x.shape[1], x.shape[2], x)
        values = self.block(x, src_key_padding_mask=padding)
        return PaddedSequence(values.masked_fill(padding.unsqueeze(2), 0.0), s.lengths)


class Transformer(LayeredModel):
    """Embedding and Transformer encoder layers, one encoder each; masked mean to the logits.

    Defaults are the paper's BP form (Table 8); its AL form uses ``feedforward=256``.

    Args:
        vocabulary_size: Number of words.
        out_features: Number of logits.
        embedding_dim: Width of the word vectors and of all layers.
        heads: Number of attention heads; see `TransformerLayer`.
        feedforward: Width of the inner dense layers.
        num_layers: Number of Transformer layers above the embedding.
        dropout: Probability inside the Transformer layers.
        embedding_dropout: Probability on the word vectors.
        norm_first: Normalise before each block instead of after it.
        positions: Add sinusoidal positions in the first Transformer layer. Off by default,
            as in most of the code that was released with the paper.
        head_hidden: Widths of dense layers before the logits.
        weights: Pre-trained word vectors ``[vocabulary_size, embedding_dim]``.
        padding_idx: Id of the padding word.
        freeze_embedding: Do not train the word vectors.

    Raises:
        InputError: ``heads`` does not divide ``embedding_dim``.

    Example:
        >>> import torch
        >>> model = Transformer(vocabulary_size=10, embedding_dim=12, out_features=2)
        >>> ids = PaddedSequence(torch.tensor([[5, 6], [8, 0]]), torch.tensor([2, 1]))
        >>> model(ids).shape, len(model.layers)
        (torch.Size([2, 2]), 3)
    """

    def __init__(
        self,
        *,
        vocabulary_size: int = 30_000,
        out_features: int = 4,
        embedding_dim: int = 300,
        heads: int | None = None,
        feedforward: int = 512,
        num_layers: int = 2,
        dropout: float = 0.1,
        embedding_dropout: float = 0.0,
        norm_first: bool = False,
        positions: bool = False,
        head_hidden: tuple[int, ...] = (),
        weights: Tensor | None = None,
        padding_idx: int = 0,
        freeze_embedding: bool = False,
    ) -> None:
        embedding = TokenEmbedding(
            vocabulary_size=vocabulary_size,
            dim=embedding_dim,
            padding_idx=padding_idx,
            weights=weights,
            dropout=embedding_dropout,
            freeze=freeze_embedding,
        )
        attention = [
            TransformerLayer(
                embedding_dim,
                heads=heads,
                feedforward=feedforward,
                dropout=dropout,
                norm_first=norm_first,
                positions=positions and i == 0,
            )
            for i in range(num_layers)
        ]
        head = dense_head(embedding_dim, head_hidden, out_features)
        super().__init__([embedding, *attention], MaskedMean(), head)


def _heads(dim: int, heads: int | None) -> int:
    divisors = [n for n in range(1, dim + 1) if dim % n == 0]
    if heads is None:
        return max(n for n in divisors if n <= _PAPER_HEADS)
    if heads not in divisors:
        nearest = sorted(divisors, key=lambda n: (abs(n - heads), -n))[:2]
        choice = " or ".join(str(n) for n in nearest)
        raise InputError(
            f"{heads} attention heads do not divide the width {dim}; use {choice}, or leave "
            "heads out."
        )
    return heads

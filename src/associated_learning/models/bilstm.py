"""The paper's bidirectional LSTM text classifier (sections 2.2 and 6.5.1, Table 7)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from associated_learning.errors import InputError
from associated_learning.models.dense import dense_head
from associated_learning.models.embedding import TokenEmbedding
from associated_learning.models.layered import LayeredModel
from associated_learning.models.lstm import States, bidirectional_lstm
from associated_learning.models.readouts import StateConcat
from associated_learning.tensors.padded_sequence import PaddedSequence

__all__ = ["BiLSTM", "BiLSTMLayer"]


class BiLSTMLayer(nn.Module):
    """One bidirectional LSTM as an encoder: ``[B, T, D]`` to ``[B, T, 2H]`` with final states.

    Padding has no influence: every sample gets what it would get alone and unpadded.

    Args:
        input_size: Width D of the inputs.
        hidden_size: Width H of each direction.
        dropout: Probability on the inputs.
        carry_state: Start from the final hidden and cell states of the layer below, if it has
            any, and hand on both: ``state`` is then ``[B, 4, H]``, the hidden states first.

    Raises:
        InputError: A length is zero, or the carried states have another width.

    Example:
        >>> import torch
        >>> s = BiLSTMLayer(3, 4)(PaddedSequence(torch.zeros(2, 5, 3), torch.tensor([5, 2])))
        >>> s.values.shape, s.state.shape
        (torch.Size([2, 5, 8]), torch.Size([2, 2, 4]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        dropout: float = 0.0,
        carry_state: bool = False,
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(input_size, hidden_size, batch_first=True, bidirectional=True)
        self.carry_state = carry_state

    def forward(self, s: PaddedSequence) -> PaddedSequence:
        """Return values ``[B, T, 2H]``, zero at padding, and the final states."""
        initial = self._carried(s.state) if self.carry_state else None
        inputs = self.dropout(s.values)
        values, (h, c) = bidirectional_lstm(self.lstm, inputs, s.lengths, initial)
        state = torch.cat([h, c]) if self.carry_state else h
        return PaddedSequence(values, s.lengths, state.transpose(0, 1))

    def _carried(self, state: Tensor | None) -> States | None:
        if state is None:
            return None
        expected = (4, self.lstm.hidden_size)
        if tuple(state.shape[1:]) != expected:
            raise InputError(
                f"carry_state needs states of shape [B, {expected[0]}, {expected[1]}] from the "
                f"layer below, got {list(state.shape)}; give both layers one width and setting."
            )
        rows = state.transpose(0, 1).contiguous()
        return rows[:2], rows[2:]


class BiLSTM(LayeredModel):
    """Embedding and bidirectional LSTM layers, one encoder each; final states to the logits.

    Defaults are the paper's BP form (Table 7: two layers of 350). Its AL form uses
    ``hidden=300``.

    Args:
        vocabulary_size: Number of words.
        out_features: Number of logits.
        embedding_dim: Width of the word vectors.
        hidden: Width of each direction in every layer.
        num_layers: Number of LSTM layers above the embedding.
        dropout: Probability between LSTM layers.
        embedding_dropout: Probability on the word vectors.
        carry_state: Each LSTM layer starts from the final states of the one below, as in
            the experiment code that was released with the paper.
        head_hidden: Widths of dense layers before the logits, e.g. ``(400,)``.
        weights: Pre-trained word vectors ``[vocabulary_size, embedding_dim]``.
        padding_idx: Id of the padding word.
        freeze_embedding: Do not train the word vectors.

    Example:
        >>> import torch
        >>> model = BiLSTM(vocabulary_size=10, embedding_dim=4, hidden=3, out_features=2)
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
        hidden: int = 350,
        num_layers: int = 2,
        dropout: float = 0.1,
        embedding_dropout: float = 0.0,
        carry_state: bool = False,
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
        recurrent = [
            BiLSTMLayer(
                2 * hidden if i else embedding_dim,
                hidden,
                dropout=dropout if i else 0.0,
                carry_state=carry_state,
            )
            for i in range(num_layers)
        ]
        head = dense_head(2 * hidden, head_hidden, out_features)
        super().__init__([embedding, *recurrent], StateConcat(), head)

"""Plain torch networks for texts of up to 16 tokens, ``[B, T]`` ids of 30 words."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence

__all__ = ["CausalTransformer", "LoopedGRU", "PackedLSTM"]

_WORDS, _WIDTH, _HEADS, _LONGEST = 30, 32, 2, 16


class _CausalBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(_WIDTH), nn.LayerNorm(_WIDTH)
        self.qkv, self.proj = nn.Linear(_WIDTH, 3 * _WIDTH), nn.Linear(_WIDTH, _WIDTH)
        self.mlp = nn.Sequential(nn.Linear(_WIDTH, 64), nn.GELU(), nn.Linear(64, _WIDTH))
        self.register_buffer("past", torch.ones(_LONGEST, _LONGEST).tril().bool())

    def forward(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        split = [part.view(n, length, _HEADS, -1) for part in self.qkv(self.ln1(x)).chunk(3, -1)]
        q, k, v = (part.transpose(1, 2) for part in split)
        scores = q @ k.transpose(2, 3) * k.shape[-1] ** -0.5
        past = self.past[:length, :length]
        weights = scores.masked_fill(~past, float("-inf")).softmax(-1)
        x = x + self.proj((weights @ v).transpose(1, 2).reshape(n, length, width))
        out: Tensor = x + self.mlp(self.ln2(x))
        return out


class CausalTransformer(nn.Module):
    """A GPT written by hand: a buffer cut to the text's length, positions made on the spot."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(_WORDS, _WIDTH), nn.Embedding(_LONGEST, _WIDTH)
        self.dropout = nn.Dropout(0.1)
        self.blocks = nn.ModuleList(_CausalBlock() for _ in range(4))
        self.norm, self.head = nn.LayerNorm(_WIDTH), nn.Linear(_WIDTH, classes)

    def forward(self, ids: Tensor) -> Tensor:
        places = torch.arange(ids.size(1), device=ids.device)
        x = self.dropout(self.words(ids) + self.places(places))
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.norm(x)[:, -1])
        return logits


class PackedLSTM(nn.Module):
    """Texts go packed through the LSTM; dense layers and dropout as functions above it."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.words = nn.Embedding(_WORDS, _WIDTH)
        self.lstm = nn.LSTM(_WIDTH, _WIDTH, batch_first=True, bidirectional=True)
        self.fc1, self.fc2 = nn.Linear(2 * _WIDTH, _WIDTH), nn.Linear(_WIDTH, _WIDTH)
        self.out = nn.Linear(_WIDTH, classes)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        embedded = functional.dropout(self.words(ids), 0.1, self.training)
        packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        _, (state, _) = self.lstm(packed)
        x = torch.cat((state[0], state[1]), dim=1)
        x = functional.dropout(functional.relu(self.fc1(x)), p=0.1, training=self.training)
        logits: Tensor = self.out(self.fc2(x).tanh())
        return logits


class LoopedGRU(nn.Module):
    """A loop over the tokens: its calls are as many as the text has tokens."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.words, self.cell = nn.Embedding(_WORDS, _WIDTH), nn.GRUCell(_WIDTH, _WIDTH)
        self.dense = nn.Sequential(nn.Linear(_WIDTH, _WIDTH), nn.ReLU())
        self.out = nn.Linear(_WIDTH, classes)

    def forward(self, ids: Tensor) -> Tensor:
        words = self.words(ids)
        state = words.new_zeros(ids.size(0), _WIDTH)
        for word in words.unbind(1):
            state = self.cell(word, state)
        logits: Tensor = self.out(self.dense(state))
        return logits

"""Counted operations against products written down by hand."""

from __future__ import annotations

import torch
from torch import nn

import associated_learning as al
from associated_learning import models
from associated_learning.inference.exits.costs import DepthCosts, depth_flops
from associated_learning.inference.exits.policy import ExitPolicy
from associated_learning.tensors.padded_sequence import PaddedSequence


def test_leaving_and_prefixes_are_sums() -> None:
    costs = DepthCosts(encoders=(10.0, 20.0), exits=(1.0, 2.0))
    assert costs.prefixes == (11.0, 32.0)
    every = ExitPolicy.constant("margin", 0.5, 2)
    assert costs.leaving(every) == (11.0, 33.0)
    last = ExitPolicy(measure="margin", thresholds=(None,), temperatures=(1.0, 1.0))
    assert costs.leaving(last) == (10.0, 32.0)
    counted = ExitPolicy(measure="patience", thresholds=(None,), temperatures=(1.0, 1.0))
    assert costs.leaving(counted) == (11.0, 33.0)


def test_dense_network() -> None:
    x = torch.randn(3, 6)
    net = al.al_form([nn.Linear(6, 8), nn.Linear(8, 7)], x, al.Classes(4), latent=5)
    costs = depth_flops(net, x)
    assert costs.encoders == (2 * 6 * 8, 2 * 8 * 7)
    # bridges to 5, then h_1 from 5 to 4; h_2 from 5 to 5 before it
    assert costs.exits == (2 * 8 * 5 + 2 * 5 * 4, 2 * 7 * 5 + 2 * 5 * 5 + 2 * 5 * 4)


def test_bilstm_kernel_counts_its_steps() -> None:
    """Four gates in two directions, of what comes in and of the state before, at real tokens."""
    x = PaddedSequence(torch.ones(2, 9, dtype=torch.long), torch.tensor([9, 3]))
    model = models.BiLSTM(vocabulary_size=9, embedding_dim=6, hidden=5, out_features=3)
    net = al.al_form(model.layers, x, al.Classes(3), latent=5)
    tokens, gates = (9 + 3) / 2, 2 * 4 * 5
    assert depth_flops(net, x).encoders[1] == 2 * tokens * gates * (6 + 5)


def test_attention_is_counted() -> None:
    x = PaddedSequence(torch.ones(2, 9, dtype=torch.long), torch.tensor([9, 9]))
    model = models.Transformer(
        vocabulary_size=9, embedding_dim=8, heads=2, feedforward=16, num_layers=1, out_features=3
    )
    net = al.al_form(model.layers, x, al.Classes(3), latent=5)
    projections = 9 * (4 * 8 * 8 + 2 * 8 * 16)  # q, k, v, out; two of the inner width
    attention = 2 * 9 * 9 * 8  # scores, and what they weigh
    assert depth_flops(net, x).encoders[1] == 2 * (projections + attention)

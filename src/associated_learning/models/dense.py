"""Stacks of fully connected layers: the heads of the models."""

from __future__ import annotations

from torch import nn

from associated_learning.models.activations import Activation, make_activation

__all__ = ["dense_block", "dense_head"]


def dense_block(
    in_features: int,
    out_features: int,
    *,
    activation: Activation = "relu",
    batch_norm: bool = False,
    dropout: float = 0.0,
) -> list[nn.Module]:
    """Return Linear, BatchNorm (if wanted), activation, Dropout (if above zero), in that order.

    Example:
        >>> [type(part).__name__ for part in dense_block(3, 2, dropout=0.1)]
        ['Linear', 'ReLU', 'Dropout']
    """
    block: list[nn.Module] = [nn.Linear(in_features, out_features)]
    if batch_norm:
        block.append(nn.BatchNorm1d(out_features))
    block.append(make_activation(activation))
    if dropout > 0:
        block.append(nn.Dropout(dropout))
    return block


def dense_head(
    in_features: int,
    hidden: tuple[int, ...],
    out_features: int,
    *,
    activation: Activation = "relu",
    batch_norm: bool = False,
) -> nn.Sequential:
    """Return a classifier: one dense block per hidden width, then a Linear to the logits.

    Example:
        >>> sum(p.numel() for p in dense_head(700, (400,), 4).parameters())
        282004
    """
    parts: list[nn.Module] = []
    for width in hidden:
        parts += dense_block(in_features, width, activation=activation, batch_norm=batch_norm)
        in_features = width
    return nn.Sequential(*parts, nn.Linear(in_features, out_features))

"""The autoencoder of targets with positions: g and h on rows, and losses over positions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from associated_learning.conversion.partners import Partners
from associated_learning.losses.contrast import contrast_with_rows, contrastive_loss
from associated_learning.losses.equation3 import associated_loss
from associated_learning.losses.table import PairLoss
from associated_learning.targets import Classes, Target
from associated_learning.targets.rows import PositionTargets

__all__ = ["at_positions", "coded_by_rows", "reconstruction_of_rows"]


def coded_by_rows(partners: Partners, target: Target, *, first: bool) -> Partners:
    """Return b, g and h of a layer, with g and h for `PositionTargets`.

    Args:
        partners: As they are for one target a sample.
        target: What y is; it has positions.
        first: Whether they are those of the first layer, whose g takes ``t_0``.
    """
    b, g, h = partners
    if not first:
        return Partners(b, OnRows(g), OnRows(h))
    coder = LabelRows(g, target.ignore_index) if isinstance(target, Classes) else ValueRows(g)
    return Partners(b, coder, OnRows(h))


def at_positions(association: PairLoss | None, *, detach_target: bool) -> Callable[..., Tensor]:
    """Return the loss of bridges ``[B, *P, D]`` against `PositionTargets`.

    Args:
        association: That of rows against rows; None for Equation 3's.
        detach_target: See `associated_loss`.
    """
    if association is contrastive_loss:
        return _contrast
    return partial(
        _associated,
        loss=association or partial(associated_loss, detach_target=detach_target),
    )


def reconstruction_of_rows(target: Target, *, first: bool) -> Callable[..., Tensor]:
    """Return the loss of the rows ``h(t_i)`` against what g got: ``t_0`` in the first layer."""
    return partial(_reconstructed, target=target) if first else _between_rows


class OnRows(nn.Module):
    """A ``g_i`` or ``h_i`` on the rows of `PositionTargets`; on latents ``[B, *P, D]`` as it is."""

    def __init__(self, coder: nn.Module) -> None:
        super().__init__()
        self.coder = coder

    def forward(self, t: Tensor | PositionTargets) -> Tensor | PositionTargets:
        """Return the coded rows, or the coded latents."""
        if isinstance(t, PositionTargets):
            return PositionTargets(self.coder(t.rows), t.which)
        coded: Tensor = self.coder(t)
        return coded


class LabelRows(nn.Module):
    """``g_1`` of labels at positions: ``[B, *P]`` to a row for each label that occurs.

    The linear map of a one-hot row is a column of its weight: no one-hot row is made.

    Args:
        g: A linear map from ``k`` numbers, or one and an activation.
        ignore_index: Label of positions that do not count.
    """

    def __init__(self, g: nn.Module, ignore_index: int) -> None:
        super().__init__()
        self.g = g
        self.ignore_index = ignore_index

    def forward(self, y: Tensor) -> PositionTargets:
        """Return ``t_1``."""
        kept = y != self.ignore_index
        labels, numbers = torch.unique(y[kept], return_inverse=True)
        index = torch.full_like(y, -1).masked_scatter(kept, numbers)
        linear, *rest = self.g if isinstance(self.g, nn.Sequential) else [self.g]
        assert isinstance(linear, nn.Linear)  # as `make_coder` makes them
        rows = F.embedding(labels, linear.weight.t())
        if linear.bias is not None:
            rows = rows + linear.bias
        for module in rest:
            rows = module(rows)
        return PositionTargets(rows, index)


class ValueRows(nn.Module):
    """``g_1`` of values at positions: ``[B, *P, size]`` to a row for each position that counts."""

    def __init__(self, g: nn.Module) -> None:
        super().__init__()
        self.g = g

    def forward(self, t0: Tensor) -> PositionTargets:
        """Return ``t_1``."""
        kept = ~torch.isnan(t0).all(-1)
        index = torch.full(kept.shape, -1, device=t0.device)
        index[kept] = torch.arange(int(kept.sum()), device=t0.device)
        return PositionTargets(self.g(torch.nan_to_num(t0[kept])), index)


def _associated(s_prime: Tensor, t: PositionTargets, loss: PairLoss) -> Tensor:
    return loss(s_prime[t.kept()], t.gathered())


def _contrast(s_prime: Tensor, t: PositionTargets) -> Tensor:
    return contrast_with_rows(s_prime[t.kept()], t.rows, t.numbers(), t.counts())


def _reconstructed(output: PositionTargets, t0: Tensor, target: Target) -> Tensor:
    own = t0[output.kept()]  # the positions in a row
    return target.loss(output.gathered(), own)


def _between_rows(output: PositionTargets, t: PositionTargets) -> Tensor:
    errors = (output.rows - t.rows).square().mean(1)
    counts = t.counts()
    return (errors * counts).sum() / counts.sum()

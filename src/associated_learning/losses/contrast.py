"""Beyond Equation 3: a bridge also learns to tell its own target from those of other samples."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from associated_learning.losses.same_targets import same_targets

__all__ = ["contrast_with_rows", "contrastive_loss"]


def contrastive_loss(s_prime: Tensor, t: Tensor) -> Tensor:
    r"""Return the squared error, and how hard it is to tell one's own target from the others.

    The second term is the cross-entropy of finding ``t_i`` among all targets of the batch by the
    distances :math:`-\|s'_i - t_j\|^2 / \sqrt{D}`; targets that are equal up to rounding, as
    those of one class are, count as the same. It is not in the paper: squared errors ask for the
    right latent, this one for the one that is nearest to no wrong label.

    Args:
        s_prime: ``b_i(s_i)``, shape ``[B, D]``.
        t: Targets, ``[B, D]``.
    """
    with torch.autocast(s_prime.device.type, enabled=False):  # differences of large numbers
        dtype = torch.promote_types(s_prime.dtype, torch.float32)
        return _contrast(s_prime.to(dtype), t.to(dtype), same_targets(t, dtype))


def contrast_with_rows(s_prime: Tensor, rows: Tensor, own: Tensor, counts: Tensor) -> Tensor:
    """Return `contrastive_loss` against targets of which many are equal: the same number.

    Args:
        s_prime: ``[N, D]``.
        rows: The targets that occur, ``[U, D]``, all different.
        own: Number of the row of each of ``s_prime``, ``[N]``.
        counts: How often each row occurs, ``[U]``.
    """
    with torch.autocast(s_prime.device.type, enabled=False):
        dtype = torch.promote_types(s_prime.dtype, torch.float32)
        s_prime, rows = s_prime.to(dtype), rows.to(dtype)
        scores = _scores(s_prime, rows) + counts.to(dtype).log()
        hard = F.cross_entropy(scores, own)
        return F.mse_loss(s_prime, rows[own]) + hard


def _scores(s_prime: Tensor, t: Tensor) -> Tensor:
    """Return the negative squared distances over the root of the width, ``[N, U]``."""
    # not cdist, whose gradient is lost at distance 0
    distances = s_prime.square().sum(1, keepdim=True) - 2 * s_prime @ t.T + t.square().sum(1)
    return -distances / math.sqrt(t.shape[1])


def _contrast(s_prime: Tensor, t: Tensor, same: Tensor) -> Tensor:
    scores = _scores(s_prime, t)
    own = scores.masked_fill(~same, float("-inf")).logsumexp(1)
    return F.mse_loss(s_prime, t) + (scores.logsumexp(1) - own).mean()

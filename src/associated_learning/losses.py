"""Equation 3: the associated loss and the autoencoder loss of one layer; and what rivals use."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "associated_loss",
    "autoencoder_loss",
    "contrastive_loss",
    "predsim_loss",
    "similarity_loss",
]

PREDSIM_WEIGHT = 0.99  # of the similarity term (Nøkland and Eidnes, 2019, section 3)


def associated_loss(s_prime: Tensor, t: Tensor, *, detach_target: bool) -> Tensor:
    r"""Equation 3, first term: :math:`\|b_i(s_i) - t_i\|^2`, mean over batch and width.

    Args:
        s_prime: ``b_i(s_i)``, shape ``[B, D]``.
        t: ``t_i = g_i(t_{i-1})``, shape ``[B, D]``.
        detach_target: True: only f and b learn from this loss (the released PyTorch and
            TensorFlow code). False: g learns from it too (Algorithm 2, line 11).
    """
    return F.mse_loss(s_prime, t.detach() if detach_target else t)


def autoencoder_loss(t_prime: Tensor, t_before: Tensor) -> Tensor:
    r"""Equation 3, second term: :math:`\|h_i(t_i) - t_{i-1}\|^2`, mean over batch and width."""
    return F.mse_loss(t_prime, t_before)


def contrastive_loss(s_prime: Tensor, t: Tensor) -> Tensor:
    r"""Return the squared error, and how hard it is to tell one's own target from the others.

    The second term is the cross-entropy of finding ``t_i`` among all targets of the batch by the
    distances :math:`-\|s'_i - t_j\|^2 / \sqrt{D}`; targets that are equal, as those of one
    class are, count as the same. It is not in the paper: squared errors ask for the right latent,
    this one for the one that is nearest to no wrong label.

    Args:
        s_prime: ``b_i(s_i)``, shape ``[B, D]``.
        t: Targets, ``[B, D]``.
    """
    with torch.autocast(s_prime.device.type, enabled=False):  # differences of large numbers
        dtype = torch.promote_types(s_prime.dtype, torch.float32)
        return _contrast(s_prime.to(dtype), t.to(dtype))


def _contrast(s_prime: Tensor, t: Tensor) -> Tensor:
    # not cdist, whose gradient is lost at distance 0
    distances = s_prime.square().sum(1, keepdim=True) - 2 * s_prime @ t.T + t.square().sum(1)
    scores = -distances / math.sqrt(t.shape[1])
    same = (t.unsqueeze(1) == t).all(dim=2)
    own = scores.masked_fill(~same, float("-inf")).logsumexp(1)
    return F.mse_loss(s_prime, t) + (scores.logsumexp(1) - own).mean()


def similarity_loss(features: Tensor, t: Tensor) -> Tensor:
    """Return how far the likeness of samples is from that of their targets, mean over pairs.

    Nøkland and Eidnes (2019), Equation 2: squared distance of the two matrices of cosines
    between all samples of the batch, features centred.

    Args:
        features: ``[B, P]``.
        t: Targets, ``[B, D]``; their cosines are taken as they are.
    """
    centred = F.normalize(features - features.mean(dim=1, keepdim=True), dim=1)
    targets = F.normalize(t, dim=1)
    return F.mse_loss(centred @ centred.T, targets @ targets.T)


def predsim_loss(
    output: Tensor, t: Tensor, prediction: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Return the weighted sum of prediction and similarity loss (Nøkland and Eidnes, 2019).

    Args:
        output: ``[B, D + P]``: what predicts ``t``, then the features to compare.
        t: Targets, ``[B, D]``.
        prediction: Loss of a prediction against ``t``.
    """
    predicted, features = output[:, : t.shape[1]], output[:, t.shape[1] :]
    likeness = similarity_loss(features, t)
    return (1 - PREDSIM_WEIGHT) * prediction(predicted, t) + PREDSIM_WEIGHT * likeness

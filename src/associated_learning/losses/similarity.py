"""What the rival predsim learns by: similarity of samples (Nøkland and Eidnes, 2019)."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

__all__ = ["predsim_loss", "similarity_loss"]

PREDSIM_WEIGHT = 0.99  # of the similarity term (Nøkland and Eidnes, 2019, section 3)


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

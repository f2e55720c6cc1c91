"""What the rival SCPL learns by: supervised contrast of normalised features (Wang et al., 2022)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from associated_learning.losses.same_targets import same_targets

__all__ = ["scpl_loss", "supervised_contrast"]

TEMPERATURE = 0.1  # Khosla et al., 2020


def supervised_contrast(features: Tensor, t: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    r"""Return how hard it is to tell samples of the same target from all others.

    Khosla et al. (2020), Equation 2, for normalised features z and the others P(i) of the same
    target, mean over the samples that have such:

    .. math::
        -\frac{1}{|P(i)|} \sum_{p \in P(i)}
            \log \frac{\exp(z_i z_p / \tau)}{\sum_{a \ne i} \exp(z_i z_a / \tau)}

    Args:
        features: ``[B, P]``.
        t: Targets, ``[B, D]``; equal ones, up to rounding, are the same.
        temperature: :math:`\tau`.
    """
    with torch.autocast(features.device.type, enabled=False):
        dtype = torch.promote_types(features.dtype, torch.float32)
        z = F.normalize(features.to(dtype), dim=1)
        itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
        least = torch.finfo(dtype).min  # not infinity, which is NaN for a sample alone
        likeness = (z @ z.T / temperature).masked_fill(itself, least)
        others = same_targets(t, dtype) & ~itself
        log_share = F.log_softmax(likeness, dim=1).masked_fill(~others, 0.0)
        counts = others.sum(1)
        of_sample = -log_share.sum(1) / counts.clamp(min=1)
        return of_sample.sum() / (counts > 0).sum().clamp(min=1)


def scpl_loss(output: Tensor, t: Tensor, prediction: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Return the sum of prediction loss and `supervised_contrast`.

    Wang et al. (2022) train all layers but the last by contrast alone; here the prediction is
    added, so that every depth answers.

    Args:
        output: ``[B, D + P]``: what predicts ``t``, then the features to contrast.
        t: Targets, ``[B, D]``.
        prediction: Loss of a prediction against ``t``.
    """
    predicted, features = output[:, : t.shape[1]], output[:, t.shape[1] :]
    return prediction(predicted, t) + supervised_contrast(features, t)

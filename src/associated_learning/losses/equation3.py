"""Equation 3: the associated loss and the autoencoder loss of one layer."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

__all__ = ["associated_loss", "autoencoder_loss"]


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

"""Standardised activations at the cut between two layers."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from associated_learning.sequence import Sequence

__all__ = ["Standardize"]


class Standardize(nn.Module):
    """Mean 0 and variance 1 in each sample; of sequences in each token. It learns nothing.

    Put before an encoder, it hides from it how large the activations below are, which change as
    the layer below learns: no gradient tells that layer to keep them as they are.

    Example:
        >>> import torch
        >>> s = Standardize()(torch.tensor([[1.0, 3.0], [10.0, 30.0]]))
        >>> s.round(decimals=3).tolist()
        [[-1.0, 1.0], [-1.0, 1.0]]
    """

    def forward(self, s: Tensor | Sequence) -> Tensor | Sequence:
        """Return what came, of the same shape; states and padding are left alone."""
        if not isinstance(s, Sequence):
            return F.layer_norm(s, s.shape[1:])
        values = F.layer_norm(s.values, s.values.shape[2:])
        return s._replace(values=values.masked_fill(~s.mask().unsqueeze(2), 0.0))

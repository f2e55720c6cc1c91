"""What an exit's confidence is worth: temperatures, and the chance that an answer is right."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from associated_learning.errors import needs_extra

__all__ = ["Curve", "binary_logits", "chance_of_being_right", "fit_temperature"]

_WIDEST = 5.0  # temperatures lie between exp(-5) and exp(5)
_HALVINGS = 50
_FLAT = 1e-9  # a slope by which all samples leave, or none, whatever their score


class Curve(NamedTuple):
    """Log-odds that an answer is right, as ``slope * score + offset``.

    Attributes:
        slope: Above 0.
        offset: Log-odds at a score of 0.
    """

    slope: float
    offset: float

    def score_at(self, log_odds: float) -> float:
        """Return the score with such odds."""
        return (log_odds - self.offset) / self.slope


def fit_temperature(logits: Tensor, y: Tensor, *, spread: float = math.inf) -> float:
    """Return the temperature with the best likelihood (Guo et al., 2017).

    Args:
        logits: ``[N, C]``.
        y: Right classes ``[N]``.
        spread: Deviation of the logarithm from 0 that is likely beforehand, so that few samples
            which are all right do not make an exit sure of everything; by default any is.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[9.0, 0.0], [9.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
        >>> y = torch.tensor([0, 0, 1, 1])  # three in four are right: log-odds log 3
        >>> round(9 / fit_temperature(logits, y), 3), round(float(np.log(3)), 3)
        (1.099, 1.099)
    """
    values = logits.double()
    right = values.gather(1, y[:, None]).mean()
    low, high = -_WIDEST, _WIDEST  # of the logarithm
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        share = math.exp(-middle)  # of the logits, in which the loss is convex
        excess = ((values * share).softmax(1) * values).sum(1).mean() - right  # its slope
        rising = middle / spread**2 / len(y) > share * float(excess)
        low, high = (low, middle) if rising else (middle, high)
    return math.exp((low + high) / 2)


def binary_logits(logits: Tensor) -> Tensor:
    r"""Return the logits ``[..., 2]`` of "it does not hold" and "it holds" for labels ``[...]``.

    Their softmax is the sigmoid of the label's: :math:`e^z / (e^0 + e^z)`.
    """
    return torch.stack([torch.zeros_like(logits), logits], dim=-1)


def chance_of_being_right(scores: Tensor, correct: Tensor) -> Curve:
    """Fit the chance that an answer is right to its score, by a logistic curve (Platt, 1999).

    Where a higher score does not make an answer likelier to be right, or all answers are right or
    wrong, the chance is the same for all.

    Args:
        scores: ``[N]``.
        correct: ``[N]`` booleans.
    """
    count, right = len(correct), int(correct.sum())
    same = Curve(_FLAT, float(np.log((right + 1) / (count - right + 1))))  # by Laplace's rule
    if right in (0, count):
        return same
    with needs_extra("exits", "a calibrated exit"):
        from sklearn.linear_model import LogisticRegression  # likewise

    x = scores.double().numpy()
    middle, spread = x.mean(), x.std() or 1.0
    fitted = LogisticRegression(C=1e6).fit(((x - middle) / spread)[:, None], correct.numpy())
    slope = float(fitted.coef_[0, 0]) / spread
    return Curve(slope, float(fitted.intercept_[0]) - slope * middle) if slope > _FLAT else same

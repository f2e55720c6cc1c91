"""What a regression is told by: R² and errors in the user's units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from associated_learning.data.labels.target_numbers import TargetScale

__all__ = ["explained_variances", "number_columns"]


def explained_variances(scores: Sequence[float], targets: Tensor) -> list[float]:
    """Return R², the share of the variance that is explained, of mean scores.

    Args:
        scores: Mean squared errors with the sign turned, as `Regression` scores.
        targets: All targets ``[N]`` that they were of, in the same units.

    Example:
        >>> import torch
        >>> explained_variances([-0.25, -2.0], torch.tensor([-1.0, 1.0]))
        [0.75, -1.0]
    """
    variance = float(targets.double().var(unbiased=False))
    return [1 + score / variance if variance else 0.0 for score in scores]


def number_columns(
    scores: Tensor, targets: Tensor, scale: TargetScale
) -> Mapping[str, Sequence[float]]:
    """Return what a split of the data is told by at each depth.

    Args:
        scores: Of every sample at every depth ``[L, N]``, as `Regression` scores.
        targets: ``[N]``, standardised.
        scale: By what they were.
    """
    errors = (-scores.double()).sqrt() * scale.std
    return {
        "R²": explained_variances(scores.double().mean(1).tolist(), targets),
        "MAE": errors.mean(1).tolist(),
        "RMSE": errors.square().mean(1).sqrt().tolist(),
    }

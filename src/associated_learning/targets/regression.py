"""Real values, of a sample or of each of its positions."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from associated_learning.errors import InputError
from associated_learning.targets.target import (
    Prediction,
    Target,
    check_positions,
    kind_of,
    mean_of_kept,
    mean_where_known,
    written,
)

__all__ = ["Regression"]


@dataclass(frozen=True)
class Regression(Target):
    """Real values; ``y`` is ``[B, d]`` floats, or ``[B]`` where ``d`` is 1.

    With positions ``y`` is ``[B, T, d]`` or ``[B, H, W, d]``, the last axis left out where ``d``
    is 1. Standardise them first: latents are bounded.

    Args:
        d: Number of values a sample, or a position.
        positions: Number of axes of positions in y: 0, 1 (tokens) or 2 (pixels).
        ignore_nan: With positions: NaN stands in y where a value is not known. Without it, NaN is
            an error.

    Raises:
        InputError: One of them cannot be.

    Example:
        >>> import torch
        >>> target = Regression(1)
        >>> target.loss(torch.tensor([[1.5]]), target.encode(torch.tensor([[1.0]]))).item()
        0.25
    """

    d: int
    positions: int = field(default=0, kw_only=True)
    ignore_nan: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        if self.d < 1:
            raise InputError(f"Regression({self.d}): at least 1 value is needed.")
        check_positions(self.positions, f"Regression({self.d})")
        if self.ignore_nan and not self.positions:
            raise InputError(
                f"ignore_nan came for Regression({self.d}) of whole samples; expected positions. "
                "Leave samples without a value out of the data."
            )

    @property
    def size(self) -> int:
        return self.d

    @property
    def bounded_output(self) -> bool:
        return False

    def encode(self, y: Tensor) -> Tensor:
        shapes = written(self.positions, self.d)
        if self.d == 1:
            shapes = f"{written(self.positions)} or {shapes}"
        y = self._columns(y)
        right = y.dim() == 2 + self.positions and y.shape[-1] == self.d
        if not right or not y.is_floating_point():
            raise InputError(
                f"targets of {kind_of(y)} came for Regression({self.d}); expected floats of shape "
                f"{shapes}."
            )
        known = torch.isfinite(y) | torch.isnan(y) if self.ignore_nan else torch.isfinite(y)
        if not bool(known.all()):
            remedy = "set ignore_nan" if self.positions else "remove or impute these samples"
            raise InputError(f"NaN or infinite targets came; {remedy}.")
        return y.to(torch.get_default_dtype())

    def loss(self, output: Tensor, t0: Tensor) -> Tensor:
        if not self.ignore_nan:
            return F.mse_loss(output, t0)
        return mean_where_known((output - torch.nan_to_num(t0)).square(), t0)

    def predict(self, output: Tensor) -> Prediction:
        return Prediction(output, None)

    def score(self, output: Tensor, y: Tensor) -> Tensor:
        y = self._columns(y)
        errors = (output.float() - y).square()
        if not self.ignore_nan:
            return -errors.flatten(1).mean(dim=1)
        known = ~torch.isnan(y)
        mean = torch.nan_to_num(errors).masked_fill(~known, 0).sum(-1) / known.sum(-1).clamp(min=1)
        return -mean_of_kept(mean, known.any(-1))

    def kept(self, y: Tensor) -> Tensor:
        return ~torch.isnan(self._columns(y)).all(-1)

    def _columns(self, y: Tensor) -> Tensor:
        return y.unsqueeze(-1) if self.d == 1 and y.dim() == 1 + self.positions else y

"""Any subset of k labels, of a sample or of each of its positions."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from associated_learning.errors import InputError
from associated_learning.targets.target import (
    FirstLoss,
    Prediction,
    Target,
    as_weight,
    check_loss_kind,
    check_positions,
    kind_of,
    mean_of_kept,
    mean_where_known,
    written,
)

__all__ = ["MultiLabel"]


@dataclass(frozen=True)
class MultiLabel(Target):
    """Any subset of ``k`` labels; ``y`` is ``[B, k]`` of zeros and ones (or booleans).

    With positions ``y`` is ``[B, T, k]`` or ``[B, H, W, k]``.

    Args:
        k: Number of labels.
        loss_kind: "ce" (binary cross-entropy on logits) or "mse".
        positions: Number of axes of positions in y: 0, 1 (tokens) or 2 (pixels).
        ignore_index: With positions: stands in y where a label is not known.
        weight: Weight of each label where it holds, ``pos_weight`` of
            ``torch.nn.BCEWithLogitsLoss``.

    Raises:
        InputError: One of them cannot be.

    Example:
        >>> import torch
        >>> target = MultiLabel(3)
        >>> target.predict(torch.tensor([[2.0, -1.0, 0.5]])).labels.int().tolist()
        [[1, 0, 1]]
    """

    k: int
    loss_kind: FirstLoss = "ce"
    positions: int = field(default=0, kw_only=True)
    ignore_index: int = field(default=-100, kw_only=True)
    weight: tuple[float, ...] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        name = f"MultiLabel({self.k})"
        if self.k < 1:
            raise InputError(f"{name}: at least 1 label is needed.")
        check_loss_kind(self.loss_kind)
        check_positions(self.positions, name)
        if self.weight is not None and self.loss_kind == "mse":
            raise InputError(f"weight came for {name} with squared errors; leave it out.")
        object.__setattr__(self, "weight", as_weight(self.weight, self.k, name))

    @property
    def size(self) -> int:
        return self.k

    @property
    def bounded_output(self) -> bool:
        return self.loss_kind == "mse"

    def encode(self, y: Tensor) -> Tensor:
        if y.dim() != 2 + self.positions or y.shape[-1] != self.k:
            raise InputError(
                f"labels of {kind_of(y)} came for MultiLabel({self.k}); expected "
                f"{written(self.positions, self.k)}."
            )
        t0 = y.to(torch.get_default_dtype())
        if self.positions:
            t0 = t0.masked_fill(y == self.ignore_index, torch.nan)
        if not bool(((t0 == 0) | (t0 == 1) | torch.isnan(t0)).all()) or y.isnan().any():
            beside = f", and {self.ignore_index} where unknown" if self.positions else ""
            raise InputError(
                f"MultiLabel({self.k}) takes zeros and ones{beside}; other values came."
            )
        return t0

    def loss(self, output: Tensor, t0: Tensor) -> Tensor:
        weight = None if self.weight is None else output.new_tensor(self.weight)
        how = "none" if self.positions else "mean"
        known = torch.nan_to_num(t0) if self.positions else t0
        if self.loss_kind == "mse":
            errors = F.mse_loss(output, known, reduction=how)
        else:
            errors = F.binary_cross_entropy_with_logits(
                output, known, reduction=how, pos_weight=weight
            )
        return mean_where_known(errors, t0) if self.positions else errors

    def predict(self, output: Tensor) -> Prediction:
        output = output.float()
        mse = self.loss_kind == "mse"
        probabilities = output.clamp(0, 1) if mse else output.sigmoid()
        return Prediction(probabilities > 0.5, probabilities)

    def score(self, output: Tensor, y: Tensor) -> Tensor:
        right = (self.predict(output).labels == y.bool()).float()
        if not self.positions:
            return right.mean(dim=1)
        known = y != self.ignore_index
        share = right.masked_fill(~known, 0.0).sum(-1) / known.sum(-1).clamp(min=1)
        return mean_of_kept(share, known.any(-1))

    def kept(self, y: Tensor) -> Tensor:
        if self.positions:
            return (y != self.ignore_index).any(-1)
        return torch.ones(len(y), dtype=torch.bool, device=y.device)

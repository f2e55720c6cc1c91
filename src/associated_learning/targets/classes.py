"""One of k classes, of a sample or of each of its positions."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from associated_learning.errors import InputError
from associated_learning.losses.cross_entropy import linear_cross_entropy
from associated_learning.targets.target import (
    FirstLoss,
    Prediction,
    Target,
    as_weight,
    check_loss_kind,
    check_positions,
    kind_of,
    mean_of_kept,
    written,
)

__all__ = ["Classes"]


@dataclass(frozen=True)
class Classes(Target):
    """One of ``k`` classes; ``y`` is ``[B]`` integers, ``t_0`` is one-hot.

    With positions ``y`` is ``[B, T]`` or ``[B, H, W]``, and ``t_0`` is y itself.

    Args:
        k: Number of classes, at least 2.
        loss_kind: Loss of the first autoencoder: "ce", cross-entropy on unbounded logits
            (section 6.10), or "mse", the letter of Equation 3.
        positions: Number of axes of positions in y: 0, 1 (tokens) or 2 (pixels).
        ignore_index: With positions: the label of those that do not count.
        weight: Weight of each class in the cross-entropy, as in ``torch.nn.CrossEntropyLoss``.
        label_smoothing: Likewise, from 0 to 1.

    Raises:
        InputError: One of them cannot be.

    Example:
        >>> import torch
        >>> Classes(3).encode(torch.tensor([2, 0])).tolist()
        [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
        >>> tags = Classes(3, positions=1)
        >>> y = torch.tensor([[2, 0, -100]])  # a sentence of two words and padding
        >>> tags.counted(y).tolist(), tags.loss(torch.zeros(1, 3, 3), tags.encode(y)).item()
        ([2], 1.0986123085021973)
    """

    k: int
    loss_kind: FirstLoss = "ce"
    positions: int = field(default=0, kw_only=True)
    ignore_index: int = field(default=-100, kw_only=True)
    weight: tuple[float, ...] | None = field(default=None, kw_only=True)
    label_smoothing: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.k, int) or self.k < 2:
            raise InputError(f"Classes({self.k}): a whole number of at least 2 classes is needed.")
        name = f"Classes({self.k})"
        check_loss_kind(self.loss_kind)
        check_positions(self.positions, name)
        object.__setattr__(self, "weight", as_weight(self.weight, self.k, name))
        if not 0 <= self.label_smoothing < 1:
            raise InputError(
                f"label_smoothing={self.label_smoothing} came for {name}; expected at least 0 "
                "and below 1."
            )
        if self.loss_kind == "mse" and (self.weight is not None or self.label_smoothing):
            raise InputError(
                f"weight or label_smoothing came for {name} with squared errors; they belong to "
                "the cross-entropy. Leave them out, or take loss_kind='ce'."
            )

    @property
    def size(self) -> int:
        return self.k

    @property
    def bounded_output(self) -> bool:
        return self.loss_kind == "mse"

    def encode(self, y: Tensor) -> Tensor:
        if y.dim() != 1 + self.positions or y.is_floating_point() or y.dtype == torch.bool:
            raise InputError(
                f"labels of {kind_of(y)} came for Classes({self.k}); expected integers of shape "
                f"{written(self.positions)}.{self._remedy(y)}"
            )
        real = y[y != self.ignore_index] if self.positions else y
        if real.numel() and not (int(real.min()) >= 0 and int(real.max()) < self.k):
            beside = f", or {self.ignore_index} for what does not count" if self.positions else ""
            raise InputError(
                f"labels from {int(real.min())} to {int(real.max())} came for Classes({self.k}); "
                f"expected 0 to {self.k - 1}{beside}. Number the classes from 0 and name all of "
                "them."
            )
        if self.positions:
            return y.long()
        return F.one_hot(y.long(), self.k).to(torch.get_default_dtype())

    def _remedy(self, y: Tensor) -> str:
        if y.dim() in (2, 3) and not y.is_floating_point() and self.positions != y.dim() - 1:
            return (
                f" A label at every position: use Classes({self.k}, positions={y.dim() - 1}); "
                "one-hot or several labels a sample: use MultiLabel."
            )
        return " One-hot or several labels a sample: use MultiLabel; real values: use Regression."

    def loss(self, output: Tensor, t0: Tensor) -> Tensor:
        if self.positions:
            return self._loss_of_positions(output, t0)
        if self.loss_kind == "mse":
            return F.mse_loss(output, t0)
        if self.weight is None and not self.label_smoothing:
            return F.cross_entropy(output, t0)
        # by number: torch divides by the sum of the weights only then
        return self._cross_entropy(output, t0.argmax(1))

    def _loss_of_positions(self, output: Tensor, labels: Tensor) -> Tensor:
        if output.shape[:-1] != labels.shape:
            raise InputError(
                f"an output of shape {list(output.shape)} came for labels of "
                f"{list(labels.shape)}; expected {list(labels.shape)} positions. Choose cuts or a "
                "readout that keep them."
            )
        rows, flat = output.flatten(0, -2), labels.flatten()
        if self.loss_kind == "ce":
            return self._cross_entropy(rows, flat)
        rows, flat = rows[flat != self.ignore_index], flat[flat != self.ignore_index]
        # the squared distance to a one-hot row, which is never made
        own = rows.gather(1, flat.unsqueeze(1)).squeeze(1)
        return ((rows.square().sum(1) - 2 * own + 1) / self.k).mean()

    def loss_of_linear(self, hidden: Tensor, linear: nn.Linear, labels: Tensor) -> Tensor:
        """Return the loss of ``linear(hidden)``, but never hold the logits of all positions.

        Args:
            hidden: ``[B, *P, W]``.
            linear: From ``W`` to ``k``.
            labels: ``t_0`` with positions, ``[B, *P]``.
        """
        if self.loss_kind != "ce":
            return self.loss(linear(hidden), labels)
        return linear_cross_entropy(
            hidden,
            linear.weight,
            labels,
            bias=linear.bias,
            class_weight=None if self.weight is None else hidden.new_tensor(self.weight),
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
        )

    def _cross_entropy(self, rows: Tensor, labels: Tensor) -> Tensor:
        weight = None if self.weight is None else rows.new_tensor(self.weight)
        smoothing, ignored = self.label_smoothing, self.ignore_index
        return F.cross_entropy(
            rows, labels, weight, ignore_index=ignored, label_smoothing=smoothing
        )

    def predict(self, output: Tensor) -> Prediction:
        return Prediction(output.argmax(dim=-1), self._probabilities(output.float()))

    def _probabilities(self, output: Tensor) -> Tensor:
        if self.loss_kind == "ce":
            return output.softmax(dim=-1)
        positive = output.clamp_min(1e-6)
        return positive / positive.sum(dim=-1, keepdim=True)

    def score(self, output: Tensor, y: Tensor) -> Tensor:
        return mean_of_kept((output.argmax(dim=-1) == y).float(), self.kept(y))

    def kept(self, y: Tensor) -> Tensor:
        return y != self.ignore_index if self.positions else torch.ones_like(y, dtype=torch.bool)

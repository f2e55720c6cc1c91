"""What y is: how it becomes t_0, how the first autoencoder is judged, how outputs are read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from associated_learning.errors import InputError

__all__ = ["Classes", "MultiLabel", "Prediction", "Regression", "Target", "target_from_config"]

FirstLoss = Literal["ce", "mse"]


class Prediction(NamedTuple):
    """What a network says of a batch.

    Attributes:
        labels: Class numbers ``[B]``, booleans ``[B, k]`` (multi-label) or values ``[B, d]``.
        probabilities: ``[B, k]``; None for a regression.
    """

    labels: Tensor
    probabilities: Tensor | None


class Target(ABC):
    """The target of a network: ``y`` of the data, ``t_0`` of the paper.

    Attributes:
        size: Width of ``t_0`` and of the network's output.
        bounded_output: Whether the first decoder should end in the activation of the others
            (``t_0`` lies in a bounded range and is reached by a squared error).
        metric_name: Name of what `score` measures.
    """

    metric_name: ClassVar[str]

    @property
    @abstractmethod
    def size(self) -> int: ...

    @property
    @abstractmethod
    def bounded_output(self) -> bool: ...

    @abstractmethod
    def encode(self, y: Tensor) -> Tensor:
        """Return ``t_0``: ``[B, size]`` float. Raises InputError where y does not fit."""

    @abstractmethod
    def loss(self, output: Tensor, t0: Tensor) -> Tensor:
        """Return the loss of an output ``[B, size]`` against ``t_0``, a scalar."""

    @abstractmethod
    def predict(self, output: Tensor) -> Prediction:
        """Read an output ``[B, size]`` as labels and probabilities."""

    @abstractmethod
    def score(self, output: Tensor, y: Tensor) -> Tensor:
        """Return one score a sample, ``[B]``; the larger the better."""

    @abstractmethod
    def config(self) -> dict[str, object]:
        """Return what `target_from_config` needs to build this target again."""


@dataclass(frozen=True)
class Classes(Target):
    """One of ``k`` classes; ``y`` is ``[B]`` integers, ``t_0`` is one-hot.

    Args:
        k: Number of classes, at least 2.
        loss_kind: Loss of the first autoencoder: "ce", cross-entropy on unbounded logits
            (section 6.10), or "mse", the letter of Equation 3.

    Example:
        >>> import torch
        >>> Classes(3).encode(torch.tensor([2, 0])).tolist()
        [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """

    k: int
    loss_kind: FirstLoss = "ce"
    metric_name: ClassVar[str] = "accuracy"

    def __post_init__(self) -> None:
        if not isinstance(self.k, int) or self.k < 2:
            raise InputError(f"Classes({self.k}): a whole number of at least 2 classes is needed.")
        _check_loss_kind(self.loss_kind)

    @property
    def size(self) -> int:
        return self.k

    @property
    def bounded_output(self) -> bool:
        return self.loss_kind == "mse"

    def encode(self, y: Tensor) -> Tensor:
        if y.dim() != 1 or y.is_floating_point() or y.dtype == torch.bool:
            raise InputError(
                f"labels of {_kind(y)} came for Classes({self.k}); expected integers of shape "
                "[batch]. One-hot or several labels a sample: use MultiLabel; real values: "
                "use Regression."
            )
        if y.numel() and not (int(y.min()) >= 0 and int(y.max()) < self.k):
            raise InputError(
                f"labels from {int(y.min())} to {int(y.max())} came for Classes({self.k}); "
                f"expected 0 to {self.k - 1}. Number the classes from 0 and name all of them."
            )
        return F.one_hot(y.long(), self.k).to(torch.get_default_dtype())

    def loss(self, output: Tensor, t0: Tensor) -> Tensor:
        if self.loss_kind == "mse":
            return F.mse_loss(output, t0)
        return F.cross_entropy(output, t0)

    def predict(self, output: Tensor) -> Prediction:
        probabilities = self._probabilities(output.float())
        return Prediction(output.argmax(dim=1), probabilities)

    def _probabilities(self, output: Tensor) -> Tensor:
        if self.loss_kind == "ce":
            return output.softmax(dim=1)
        positive = output.clamp_min(1e-6)
        return positive / positive.sum(dim=1, keepdim=True)

    def score(self, output: Tensor, y: Tensor) -> Tensor:
        return (output.argmax(dim=1) == y).float()

    def config(self) -> dict[str, object]:
        return {"kind": "classes", "k": self.k, "loss_kind": self.loss_kind}


@dataclass(frozen=True)
class MultiLabel(Target):
    """Any subset of ``k`` labels; ``y`` is ``[B, k]`` of zeros and ones (or booleans).

    Args:
        k: Number of labels.
        loss_kind: "ce" (binary cross-entropy on logits) or "mse".

    Example:
        >>> import torch
        >>> target = MultiLabel(3)
        >>> target.predict(torch.tensor([[2.0, -1.0, 0.5]])).labels.int().tolist()
        [[1, 0, 1]]
    """

    k: int
    loss_kind: FirstLoss = "ce"
    metric_name: ClassVar[str] = "label accuracy"

    def __post_init__(self) -> None:
        if self.k < 1:
            raise InputError(f"MultiLabel({self.k}): at least 1 label is needed.")
        _check_loss_kind(self.loss_kind)

    @property
    def size(self) -> int:
        return self.k

    @property
    def bounded_output(self) -> bool:
        return self.loss_kind == "mse"

    def encode(self, y: Tensor) -> Tensor:
        if y.dim() != 2 or y.shape[1] != self.k:
            raise InputError(
                f"labels of {_kind(y)} came for MultiLabel({self.k}); expected [batch, {self.k}]."
            )
        t0 = y.to(torch.get_default_dtype())
        if not bool(((t0 == 0) | (t0 == 1)).all()):
            raise InputError(f"MultiLabel({self.k}) takes zeros and ones; other values came.")
        return t0

    def loss(self, output: Tensor, t0: Tensor) -> Tensor:
        if self.loss_kind == "mse":
            return F.mse_loss(output, t0)
        return F.binary_cross_entropy_with_logits(output, t0)

    def predict(self, output: Tensor) -> Prediction:
        output = output.float()
        mse = self.loss_kind == "mse"
        probabilities = output.clamp(0, 1) if mse else output.sigmoid()
        return Prediction(probabilities > 0.5, probabilities)

    def score(self, output: Tensor, y: Tensor) -> Tensor:
        return (self.predict(output).labels == y.bool()).float().mean(dim=1)

    def config(self) -> dict[str, object]:
        return {"kind": "multilabel", "k": self.k, "loss_kind": self.loss_kind}


@dataclass(frozen=True)
class Regression(Target):
    """Real values; ``y`` is ``[B, d]`` floats, or ``[B]`` where ``d`` is 1.

    Standardise them first: latents are bounded.

    Args:
        d: Number of values a sample.

    Example:
        >>> import torch
        >>> target = Regression(1)
        >>> target.loss(torch.tensor([[1.5]]), target.encode(torch.tensor([[1.0]]))).item()
        0.25
    """

    d: int
    metric_name: ClassVar[str] = "negative squared error"

    def __post_init__(self) -> None:
        if self.d < 1:
            raise InputError(f"Regression({self.d}): at least 1 value is needed.")

    @property
    def size(self) -> int:
        return self.d

    @property
    def bounded_output(self) -> bool:
        return False

    def encode(self, y: Tensor) -> Tensor:
        shapes = "[batch] or [batch, 1]" if self.d == 1 else f"[batch, {self.d}]"
        y = self._columns(y)
        if y.dim() != 2 or y.shape[1] != self.d or not y.is_floating_point():
            raise InputError(
                f"targets of {_kind(y)} came for Regression({self.d}); expected floats of shape "
                f"{shapes}."
            )
        if not bool(torch.isfinite(y).all()):
            raise InputError("NaN or infinite targets came; remove or impute these samples.")
        return y.to(torch.get_default_dtype())

    def loss(self, output: Tensor, t0: Tensor) -> Tensor:
        return F.mse_loss(output, t0)

    def predict(self, output: Tensor) -> Prediction:
        return Prediction(output, None)

    def score(self, output: Tensor, y: Tensor) -> Tensor:
        return -(output.float() - self._columns(y)).square().mean(dim=1)

    def _columns(self, y: Tensor) -> Tensor:
        return y.unsqueeze(1) if self.d == 1 and y.dim() == 1 else y

    def config(self) -> dict[str, object]:
        return {"kind": "regression", "d": self.d}


def target_from_config(config: dict[str, object]) -> Target:
    """Build the target that `Target.config` described."""
    kinds: dict[object, type[Classes] | type[MultiLabel] | type[Regression]] = {
        "classes": Classes,
        "multilabel": MultiLabel,
        "regression": Regression,
    }
    arguments = {key: value for key, value in config.items() if key != "kind"}
    try:
        return kinds[config.get("kind")](**arguments)  # type: ignore[arg-type]
    except (KeyError, TypeError) as error:
        raise InputError(f"{config} describes no target; expected one of {[*kinds]}.") from error


def _check_loss_kind(loss_kind: str) -> None:
    if loss_kind not in ("ce", "mse"):
        raise InputError(f"loss {loss_kind!r} came for the first autoencoder; expected ce or mse.")


def _kind(y: Tensor) -> str:
    return f"type {str(y.dtype).removeprefix('torch.')} and shape {list(y.shape)}"

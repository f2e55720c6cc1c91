"""What y is: how it becomes t_0, how the first autoencoder is judged, how outputs are read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from associated_learning.errors import InputError

__all__ = ["FirstLoss", "Prediction", "Target"]

FirstLoss = Literal["ce", "mse"]


class Prediction(NamedTuple):
    """What a network says of a batch; ``P`` are the axes of positions, if y has any.

    Attributes:
        labels: Class numbers ``[B, *P]``, booleans ``[B, *P, k]`` (multi-label) or values
            ``[B, *P, d]``.
        probabilities: ``[B, *P, k]``; None for a regression.
    """

    labels: Tensor
    probabilities: Tensor | None


class Target(ABC):
    """The target of a network: ``y`` of the data, ``t_0`` of the paper.

    Attributes:
        size: Width of ``t_0`` and of the network's output.
        positions: Number of axes of positions in y: 0 for one answer a sample, 1 for one at every
            token ``[B, T]``, 2 for one at every pixel ``[B, H, W]``.
        bounded_output: Whether the first decoder should end in the activation of the others
            (``t_0`` lies in a bounded range and is reached by a squared error).
    """

    positions: int

    @property
    @abstractmethod
    def size(self) -> int: ...

    @property
    @abstractmethod
    def bounded_output(self) -> bool: ...

    @abstractmethod
    def encode(self, y: Tensor) -> Tensor:
        """Return ``t_0``: ``[B, size]`` float.

        With positions the values ``[B, *P, size]``, NaN where a value is ignored; of classes the
        labels ``[B, *P]`` themselves, so that no row of ``k`` numbers is made for a position.

        Raises:
            InputError: y does not fit.
        """

    @abstractmethod
    def loss(self, output: Tensor, t0: Tensor) -> Tensor:
        """Return the loss of an output ``[B, *P, size]`` against ``t_0``, a scalar.

        It is the mean over all values that are not ignored.
        """

    @abstractmethod
    def predict(self, output: Tensor) -> Prediction:
        """Read an output ``[B, *P, size]`` as labels and probabilities."""

    def calibrated(self, output: Tensor, temperature: float) -> Prediction:
        """Read an output, with the probabilities of ``output / temperature``.

        Labels do not depend on the temperature.
        """
        found = self.predict(output)
        if temperature == 1:
            return found
        return found._replace(probabilities=self.predict(output / temperature).probabilities)

    def check_output(self, output: Tensor) -> None:
        """Raise InputError if an output is not ``[B, *P, size]``: it would be judged by others."""
        if output.dim() != 2 + self.positions:
            raise InputError(
                f"an output of shape {list(output.shape)} came, expected was "
                f"{written(self.positions, self.size)}: the inputs have another number of axes "
                "than those that the network was made for, or its last module keeps another one."
            )

    @abstractmethod
    def score(self, output: Tensor, y: Tensor) -> Tensor:
        """Return one score a sample, ``[B]``; the larger the better.

        With positions it is the mean over those that count, 0 where none does.
        """

    def counted(self, y: Tensor) -> Tensor:
        """Return how many positions of each sample count, ``[B]``: 1 without positions."""
        kept = self.kept(y)
        return kept.flatten(1).sum(1) if kept.dim() > 1 else kept.long()

    @abstractmethod
    def kept(self, y: Tensor) -> Tensor:
        """Return at which positions y tells something, ``[B, *P]`` booleans."""


def check_positions(positions: object, target: str) -> None:
    """Raise InputError if a number of axes of positions is none."""
    if positions not in (0, 1, 2, 3):
        raise InputError(
            f"positions={positions!r} came for {target}; expected the number of axes of "
            "positions in y: 0 for one answer a sample, 1 for tokens, 2 for pixels."
        )


def check_loss_kind(loss_kind: str) -> None:
    """Raise InputError if there is no such loss of the first autoencoder."""
    if loss_kind not in ("ce", "mse"):
        raise InputError(f"loss {loss_kind!r} came for the first autoencoder; expected ce or mse.")


def as_weight(weight: Iterable[float] | None, size: int, target: str) -> tuple[float, ...] | None:
    """Return weights as numbers; raise InputError unless there is one of 0 or more for each."""
    if weight is None:
        return None
    weight = tuple(float(value) for value in weight)
    if len(weight) != size or not all(0 <= value < float("inf") for value in weight):
        raise InputError(
            f"weight of {len(weight)} numbers came for {target}; expected {size} numbers of at "
            "least 0, one for each."
        )
    return weight


def kind_of(y: Tensor) -> str:
    """Return the type and shape of targets, for an error's message."""
    return f"type {str(y.dtype).removeprefix('torch.')} and shape {list(y.shape)}"


def written(positions: int, *behind: object) -> str:
    """Return the shape that y is expected to have, for an error's message."""
    axes = {0: [], 1: ["tokens"], 2: ["height", "width"]}.get(
        positions, ["depth", "height", "width"]
    )
    return f"[{', '.join(map(str, ['batch', *axes, *behind]))}]"


def mean_of_kept(values: Tensor, kept: Tensor) -> Tensor:
    """Return each sample's mean over the positions that count, ``[B]``; 0 where none does.

    Args:
        values: ``[B, *P]``.
        kept: Which count, likewise.
    """
    if values.dim() == 1:
        return values
    summed = values.masked_fill(~kept, 0.0).flatten(1).sum(1)
    return summed / kept.flatten(1).sum(1).clamp(min=1)


def mean_where_known(errors: Tensor, t0: Tensor) -> Tensor:
    """Return the mean of the errors where ``t_0`` is not NaN; both ``[B, *P, size]``."""
    known = ~torch.isnan(t0)
    return errors.masked_fill(~known, 0.0).sum() / known.sum().clamp(min=1)

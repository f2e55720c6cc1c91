"""An example batch for a plan: from data, or of a shape."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from associated_learning.conversion.tracing.arguments import KEEP_MASKS
from associated_learning.data import DataSet
from associated_learning.errors import InputError
from associated_learning.tensors.padded_sequence import PaddedSequence

__all__ = ["ExampleSource", "parse_shape"]


@dataclass(frozen=True, kw_only=True)
class ExampleSource:
    """Where an example batch comes from: data, if there are any, or a shape or length.

    Attributes:
        data: Take the first training samples of these.
        shape: Shape of one sample ``[C, H, W]`` or ``[F]``.
        length: Number of tokens of a text.
        batch_size: Number of samples.
    """

    data: DataSet | None = None
    shape: tuple[int, ...] | None = None
    length: int | None = None
    batch_size: int = 2

    def __post_init__(self) -> None:
        if [self.data, self.shape, self.length].count(None) < 2:
            raise InputError(
                "data, a shape and a length came for one example; expected one of --data, "
                "--input-shape and --sequence-length."
            )

    def of_data(self) -> Any:
        """Return the first samples of the data."""
        assert self.data is not None
        return self.data.train.take(torch.arange(min(self.batch_size, len(self.data.train))))

    def images(self, shape: tuple[int, ...]) -> Tensor:
        """Return random numbers of a shape; that of the source counts more."""
        return torch.randn(self.batch_size, *(self.shape or shape))

    def texts(self, length: int = 16) -> PaddedSequence:
        """Return token ids of ones with some padding; the source's length counts more."""
        longest = self.length or length
        lengths = torch.full((self.batch_size,), longest)
        lengths[1:] = max(1, longest - 1)
        # two tokens that any vocabulary has; no two samples alike, for conversion compares them
        ones = torch.arange(self.batch_size) % longest
        return PaddedSequence((torch.arange(longest) <= ones.unsqueeze(1)).long(), lengths)

    def for_model(self, model: nn.Module) -> Any:
        """Return an example for a model of which nothing else is known.

        Raises:
            InputError: The source tells neither data nor a shape nor a length.
        """
        if self.data is not None:
            return self.of_data()
        if self.shape is not None:
            return self.images(self.shape)
        if self.length is None:
            raise InputError(
                "a model of your own came without an example of its inputs; expected "
                "--input-shape, such as 3,224,224, --sequence-length, or --data."
            )
        masked = set(KEEP_MASKS) & set(inspect.signature(model.forward).parameters)
        return self.texts() if masked else self.texts().values


def parse_shape(text: str) -> tuple[int, ...]:
    """Read a shape such as ``3,224,224``. Raises InputError where it is none.

    Example:
        >>> parse_shape("3,224,224")
        (3, 224, 224)
    """
    try:
        shape = tuple(int(size) for size in text.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise InputError(f"{text!r} is no shape; expected whole numbers such as 3,224,224.")
    return shape

"""What a layer hands on, taken apart into rows that can be stored, and put together again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from associated_learning.errors import InputError
from associated_learning.tensors.nested import map_tensors
from associated_learning.tensors.padded_sequence import PaddedSequence

__all__ = ["Column", "Form", "Rows", "rows_of"]


class Column(NamedTuple):
    """The form of one tensor of an activation.

    Attributes:
        dtype: Its type.
        shape: Of one row: of a sample, or of a token where ``ragged``.
        ragged: Whether a sample has as many rows as it has tokens.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    ragged: bool

    @property
    def nbytes(self) -> int:
        """Bytes of a row."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize


class Rows(NamedTuple):
    """The activations of a batch, column by column.

    Attributes:
        columns: The form of each.
        values: ``[B, ...]``, or ``[B, T, ...]`` where ragged.
        lengths: True lengths ``[B]``; None where nothing is ragged.
    """

    columns: list[Column]
    values: list[Tensor]
    lengths: Tensor | None

    def packed(self, which: Sequence[int]) -> list[Tensor]:
        """Return the rows of some samples one after the other, without padding, on the CPU."""
        places = torch.tensor(which, device=self.values[0].device)
        chosen = [tensor[places].cpu() for tensor in self.values]
        if self.lengths is not None:
            lengths = self.lengths.cpu()[which]
            chosen[0] = torch.cat([row[:n] for row, n in zip(chosen[0], lengths, strict=True)])
        return chosen


def rows_of(s: Any, size: int) -> Rows:
    """Take the activation of a batch apart.

    Args:
        s: A tensor, a `PaddedSequence`, or tuples, lists or dictionaries of tensors.
        size: Number of samples of the batch.

    Raises:
        InputError: Something in it does not belong to one sample alone.
    """
    lengths = s.lengths if isinstance(s, PaddedSequence) else None
    leaves = [s.values, s.state] if isinstance(s, PaddedSequence) else pytree.tree_leaves(s)
    values = [leaf for leaf in leaves if leaf is not None]
    for leaf in values:
        if not isinstance(leaf, Tensor) or leaf.dim() == 0 or len(leaf) != size:
            what = list(leaf.shape) if isinstance(leaf, Tensor) else type(leaf).__name__
            raise InputError(
                f"the top frozen layer hands on a {type(s).__name__} with {what} in it for a "
                f"batch of {size} samples; only tensors with one row for each sample can be "
                "cached. Freeze fewer layers, or train without a cache."
            )
    ragged = [lengths is not None and i == 0 for i in range(len(values))]
    columns = [
        Column(leaf.dtype, tuple(leaf.shape[1 + many :]), many)
        for leaf, many in zip(values, ragged, strict=True)
    ]
    return Rows(columns, values, lengths)


class Form:
    """The form of an activation, which `assemble` gives to rows again.

    Dimensions lie in memory in the order in which the layer left them: kernels choose their way
    by it, and with it the last bits of what they compute.

    Args:
        s: Any activation of the layer.
        size: Number of its samples.
    """

    def __init__(self, s: Any, size: int) -> None:
        self.columns, values, _ = rows_of(s, size)
        self._orders = [_order(tensor) for tensor in values]
        self._empty = (
            s if isinstance(s, PaddedSequence) else map_tensors(lambda t: t.new_empty(0), s)
        )

    def assemble(self, values: list[Tensor], lengths: Tensor | None) -> Any:
        """Return an activation of the same form.

        Args:
            values: As in `Rows`.
            lengths: Likewise.
        """
        ordered = [_laid(tensor, order) for tensor, order in zip(values, self._orders, strict=True)]
        if lengths is not None:
            first, *rest = ordered
            return PaddedSequence(first, lengths, *rest)
        following: Iterator[Tensor] = iter(ordered)
        return map_tensors(lambda _: next(following), self._empty)


def _order(tensor: Tensor) -> list[int]:
    """Return the dimensions from the slowest to the fastest."""
    return sorted(range(tensor.dim()), key=lambda i: tensor.stride(i), reverse=True)


def _laid(tensor: Tensor, order: list[int]) -> Tensor:
    """Return a tensor whose dimensions lie in memory in this order."""
    back = [order.index(i) for i in range(len(order))]
    return tensor.permute(order).contiguous().permute(back)

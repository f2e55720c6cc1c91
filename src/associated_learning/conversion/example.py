"""An example batch, and what cannot be seen in it: masks, shared inputs, rows that are linked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from associated_learning.errors import InputError

__all__ = ["Example"]


@dataclass(frozen=True)
class Example:
    """A batch for `convert` and `plan`, with what it does not show by itself.

    A plain batch may be passed instead; then all of this is found out by trying the model.

    Attributes:
        inputs: The batch, as the model takes it. Inputs within others are named with dots:
            "text.ids", "levels.0".
        padding: Names of masks, ``[B, T]``, that are true at padding.
        keep: Names of masks, ``[B, T]``, that are true at real positions.
        shared: Names of inputs that are the same for all samples: a mask ``[T, T]``, the edges of
            a graph.
        linked: Whether rows influence each other, as the nodes of a graph do; then the example is
            run as a whole, and rows are not tried one by one.

    Raises:
        InputError: A mask is named both for padding and for keep.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> class Graph(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.a, self.b, self.out = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        ...     def forward(self, x, adjacency):
        ...         return self.out((adjacency @ self.b((adjacency @ self.a(x)).relu())).relu())
        >>> nodes = al.Example((torch.randn(6, 4), torch.eye(6)), shared=["adjacency"], linked=True)
        >>> len(al.plan(Graph(), nodes, at=2).layers)
        2
    """

    inputs: Any
    padding: Sequence[str] = ()
    keep: Sequence[str] = ()
    shared: Sequence[str] = ()
    linked: bool = False

    def __post_init__(self) -> None:
        twice = set(self.padding) & set(self.keep)
        if twice:
            raise InputError(f"{', '.join(sorted(twice))} came both for padding and for keep.")

    @classmethod
    def of(cls, x: Any) -> Example:
        """Return an example as it is, or a batch as an example."""
        return x if isinstance(x, cls) else cls(x)

"""Sizes that remember the tensor they were read from, so that other batch sizes work too."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

__all__ = ["Arithmetic", "Size", "TracedInt", "TracedOrigin"]


class Size(NamedTuple):
    """A dimension of a tensor; of all its elements, if ``dim`` is None."""

    tensor: Tensor
    dim: int | None


class Arithmetic(NamedTuple):
    """An operation on sizes."""

    function: Callable[..., Any]
    operands: tuple[Any, ...]


TracedOrigin = Size | Arithmetic


class TracedInt(int):
    """A whole number with its origin.

    While a model is recorded, ``x.shape[0] * 2`` must not become the constant 16 of the example
    batch. Python's own integers cannot carry more than their value; a subclass can, and torch
    takes it wherever it takes an integer.

    Example:
        >>> import torch
        >>> batch = TracedInt.of(8, Size(torch.zeros(8, 3), 0))
        >>> double = batch * 2
        >>> double, type(double).__name__, double.origin.function.__name__
        (16, 'TracedInt', 'mul')
    """

    origin: TracedOrigin

    @classmethod
    def of(cls, value: int, origin: TracedOrigin) -> TracedInt:
        """Return ``value`` with its origin."""
        traced = cls(value)
        traced.origin = origin
        return traced


def _traced(function: Callable[..., Any], swapped: bool = False) -> Callable[..., Any]:
    def operation(*operands: Any) -> Any:
        if not all(isinstance(operand, int) for operand in operands):
            return NotImplemented
        if swapped:
            operands = operands[::-1]
        value = function(*(int(operand) for operand in operands))
        return TracedInt.of(value, Arithmetic(function, operands))

    return operation


for _name in ("add", "sub", "mul", "floordiv", "mod"):
    setattr(TracedInt, f"__{_name}__", _traced(getattr(operator, _name)))
    setattr(TracedInt, f"__r{_name}__", _traced(getattr(operator, _name), swapped=True))
TracedInt.__neg__ = _traced(operator.neg)  # type: ignore[method-assign]

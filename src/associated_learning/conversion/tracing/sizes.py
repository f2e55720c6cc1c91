"""Numbers that remember where they came from, so that layers can compute them anew."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

__all__ = [
    "Arithmetic",
    "Content",
    "Guard",
    "Size",
    "TracedFloat",
    "TracedInt",
    "TracedOrigin",
    "followed",
    "guard",
    "guarded_by",
    "is_traced",
    "traced",
]

Guard = Callable[[Callable[..., Any], tuple[Any, ...], Any], None]
_GUARD: ContextVar[Guard | None] = ContextVar("guard", default=None)


class Size(NamedTuple):
    """A dimension of a tensor; of all its elements, if ``dim`` is None."""

    tensor: Tensor
    dim: int | None


class Arithmetic(NamedTuple):
    """An operation on numbers."""

    function: Callable[..., Any]
    operands: tuple[Any, ...]


class Content:
    """What a recorded call made of a tensor's content: ``lengths.max().item()``.

    No tuple: those who look for tensors in an argument must not walk into the call.
    """

    def __init__(self, call: Any) -> None:
        self.call = call


TracedOrigin = Size | Arithmetic | Content


@contextmanager
def guarded_by(listener: Guard) -> Iterator[None]:
    """Tell ``listener`` of every plain Python value that is made of a traced number.

    It gets the function, its operands and what came out: ``if x.shape[1] > 20`` tells
    ``operator.gt``, the size and 20, and False.
    """
    token = _GUARD.set(listener)
    try:
        yield
    finally:
        _GUARD.reset(token)


def guard(function: Callable[..., Any], operands: tuple[Any, ...], outcome: Any) -> Any:
    """Tell who listens that ``function`` gave a plain value, and return the value."""
    listener = _GUARD.get()
    if listener is not None:
        listener(function, operands, outcome)
    return outcome


class TracedInt(int):
    """A whole number with its origin.

    While a model is recorded, ``x.shape[0] * 2`` must not become the constant 16 of the example
    batch. Python's own integers cannot carry more than their value; a subclass can, and torch
    takes it wherever it takes an integer. Arithmetic gives traced numbers; what gives a plain
    value (a comparison, ``bool``, ``int``) is told to `guarded_by`'s listener.

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
        number = cls(value)
        number.origin = origin
        return number


class TracedFloat(float):
    """A number with its origin; see `TracedInt`."""

    origin: TracedOrigin

    @classmethod
    def of(cls, value: float, origin: TracedOrigin) -> TracedFloat:
        """Return ``value`` with its origin."""
        number = cls(value)
        number.origin = origin
        return number


def is_traced(value: Any) -> bool:
    """Whether a value is a number with an origin."""
    return isinstance(value, (TracedInt, TracedFloat))


def traced(value: Any, origin: TracedOrigin) -> Any:
    """Return a number with its origin; anything else as it is."""
    if isinstance(value, np.generic):
        value = value.item()
    if type(value) is int:
        return TracedInt.of(value, origin)
    return TracedFloat.of(value, origin) if type(value) is float else value


def _without_origin(value: Any) -> Any:
    """Return a number without its origin, asking no one."""
    if isinstance(value, TracedInt):
        return int.__pos__(value)
    return float.__pos__(value) if isinstance(value, TracedFloat) else value


def followed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of numbers that gives traced ones if it gets any."""

    def call(*operands: Any, **options: Any) -> Any:
        if options or not operands:
            return function(*operands, **options)
        parts = operands[0] if len(operands) == 1 else operands
        numbers = [parts] if isinstance(parts, (int, float)) else parts
        if not isinstance(numbers, (tuple, list)) or not any(map(is_traced, numbers)):
            return function(*operands)
        if not all(isinstance(number, (int, float)) for number in numbers):
            return function(*operands)
        applied = function if len(operands) > 1 or numbers is not parts else _OfAll(function)
        value = applied(*map(_without_origin, numbers))
        if isinstance(value, bool):
            return guard(applied, tuple(numbers), value)
        return traced(value, Arithmetic(applied, tuple(numbers)))

    return call


@dataclass(frozen=True)
class _OfAll:
    """A function of several numbers at once: ``math.prod((2, 3))`` takes no ``(2, 3)`` apart."""

    function: Callable[..., Any]

    def __call__(self, *numbers: Any) -> Any:
        return self.function(numbers)


def _arithmetic(function: Callable[..., Any], swapped: bool = False) -> Callable[..., Any]:
    def operation(*operands: Any) -> Any:
        if not all(isinstance(operand, (int, float)) for operand in operands):
            if function is operator.mul and isinstance(operands[1], (tuple, list, str)):
                guard(
                    _without_origin, operands[:1], _without_origin(operands[0])
                )  # [0] * n is as long as n says
            return NotImplemented
        if swapped:
            operands = operands[::-1]
        value = function(*map(_without_origin, operands))
        return traced(value, Arithmetic(function, operands))

    return operation


def _comparison(function: Callable[..., Any]) -> Callable[..., Any]:
    def operation(number: Any, other: Any) -> Any:
        if not isinstance(other, (int, float)):
            return NotImplemented
        return guard(
            function, (number, other), function(_without_origin(number), _without_origin(other))
        )

    return operation


def _conversion(function: Callable[..., Any]) -> Callable[..., Any]:
    def operation(number: Any, *details: Any) -> Any:
        return guard(function, (number, *details), function(_without_origin(number), *details))

    return operation


def _method(name: str) -> Callable[..., Any]:
    def operation(number: Any, *details: Any) -> Any:
        plain = guard(operator.pos, (number,), _without_origin(number))
        return getattr(plain, name)(*details)

    return operation


def _hash(number: Any) -> int:
    plain = _without_origin(number)
    guard(operator.pos, (number,), plain)  # a key of a dictionary
    return hash(plain)


_ARITHMETIC = ("add", "sub", "mul", "floordiv", "mod", "truediv", "pow")
_BITS = ("and_", "or_", "xor", "lshift", "rshift")
_SINGLE: dict[str, Callable[..., Any]] = {
    "neg": operator.neg, "pos": operator.pos, "abs": abs, "round": round, "ceil": math.ceil,
    "floor": math.floor, "trunc": math.trunc,
}  # fmt: skip
_CONVERSIONS: dict[str, Callable[..., Any]] = {
    "bool": bool,
    "int": int,
    "float": float,
    "str": str,
    "format": format,
}

_OWN = {
    TracedInt: ("bit_length", "bit_count", "as_integer_ratio", "to_bytes"),
    TracedFloat: ("is_integer", "as_integer_ratio", "hex"),
}

for _kind in (TracedInt, TracedFloat):
    for _name in _OWN[_kind]:
        setattr(_kind, _name, _method(_name))
    for _name in _ARITHMETIC + (_BITS if _kind is TracedInt else ()):
        _function, _stem = getattr(operator, _name), _name.strip("_")
        setattr(_kind, f"__{_stem}__", _arithmetic(_function))
        setattr(_kind, f"__r{_stem}__", _arithmetic(_function, swapped=True))
    for _name, _function in _SINGLE.items():
        setattr(_kind, f"__{_name}__", _arithmetic(_function))
    for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
        setattr(_kind, f"__{_name}__", _comparison(getattr(operator, _name)))
    for _name, _function in _CONVERSIONS.items():
        setattr(_kind, f"__{_name}__", _conversion(_function))
    _kind.__divmod__ = lambda a, b: (a // b, a % b)  # type: ignore[method-assign]
    _kind.__hash__ = _hash  # type: ignore[method-assign,assignment]
    _kind.__repr__ = lambda number: repr(_without_origin(number))  # type: ignore[method-assign]

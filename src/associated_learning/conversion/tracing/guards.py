"""Guards: plain Python values that a model's forward made of sizes, modes or tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from associated_learning.errors import InputError

__all__ = ["GuardError", "expect", "same", "unchanged"]

_SYMBOLS = {
    "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!=",
}  # fmt: skip


class GuardError(InputError):
    """A batch for which a taken-apart forward might go another way than for the example.

    Attributes:
        condition: What held for the example, in words.
    """

    def __init__(self, message: str, condition: str = "") -> None:
        super().__init__(message)
        self.condition = condition


def expect(function: Callable[..., Any], operands: Sequence[Any], outcome: Any, place: str) -> None:
    """Check that a layer meets the value that its model's forward went by when it was recorded.

    Args:
        function: What made a plain value of the operands.
        operands: Sizes, other numbers, and what was read from tensors.
        outcome: The value then.
        place: The module whose forward did so.

    Raises:
        GuardError: It is another value now, so that the forward might take another way.
    """
    value = function(*operands)
    if not same(value, outcome):
        written = _written(function, operands)
        raise GuardError(
            f"{place} was taken apart, and its forward goes by {written}, "
            f"which is {value!r} for this batch and was {outcome!r} for the example: the layers "
            "would go the example's way. Pass batches like the example, or convert again with an "
            "example like this batch (and samples=None, to look at all of it), or with cuts (at=) "
            "that leave this module whole, or move that part into a function marked with "
            "al.opaque.",
            f"where {written} is {outcome!r} in {place}, and not {value!r}",
        )


def unchanged(value: Any) -> Any:
    """Return a value that was read from a tensor, as it is."""
    return value


def same(a: Any, b: Any) -> bool:
    """Whether two plain values are the same: numbers, lists of them, or arrays."""
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(map(same, a, b))
    if hasattr(a, "tolist"):
        return same(a.tolist(), getattr(b, "tolist", lambda: b)())
    return bool(a == b) or (a != a and b != b)


def _written(function: Callable[..., Any], operands: Sequence[Any]) -> str:
    name = getattr(function, "__name__", "a comparison")
    if name in _SYMBOLS:
        return f"{operands[0]!r} {_SYMBOLS[name]} {operands[1]!r}"
    if name in ("_plain", "pos", "unchanged"):
        return "the value of a size or tensor"
    return f"{name}({', '.join(map(repr, operands))})"

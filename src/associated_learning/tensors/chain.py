"""The chain of encoders, ``s_i = f_i(s_{i-1})``: every way through a network goes along it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

__all__ = ["encode", "encodings"]


def encodings(encoders: Iterable[Callable[[Any], Any]], x: Any) -> Iterator[Any]:
    """Yield ``s_1 .. s_L`` in turn; each encoder runs when its activation is asked for.

    Args:
        encoders: ``f_1 .. f_L``.
        x: ``s_0``.

    Example:
        >>> list(encodings([lambda s: s + 1, lambda s: 2 * s], 3))
        [4, 8]
    """
    s = x
    for f in encoders:
        s = f(s)
        yield s


def encode(encoders: Iterable[Callable[[Any], Any]], x: Any) -> Any:
    """Return ``s_L``; without encoders ``x`` itself.

    Example:
        >>> encode([lambda s: s + 1, lambda s: 2 * s], 3)
        8
    """
    s = x
    for s in encodings(encoders, x):  # noqa: B007
        pass
    return s

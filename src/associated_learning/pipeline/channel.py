"""A bounded queue between two threads that either side can close."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, Protocol, TypeVar

__all__ = ["Channel", "Closed", "Inlet"]

T = TypeVar("T")
In = TypeVar("In", contravariant=True)


class Closed(Exception):  # noqa: N818  # a signal, as StopIteration is
    """The channel was closed: nobody waits at its other end any more."""


class Inlet(Protocol[In]):
    """Whatever items can be put into."""

    def put(self, item: In) -> None:
        """Append an item, and wait for room before it."""


class Channel(Generic[T]):
    """Items in order from one thread to another, at most ``capacity`` of them under way.

    A full channel makes its writer wait, so that a fast stage cannot fill the memory with work
    for a slow one.

    Args:
        capacity: Most items that wait in it; None for no bound.

    Example:
        >>> channel = Channel(capacity=2)
        >>> channel.put("batch 0")
        >>> channel.get()
        'batch 0'
    """

    def __init__(self, capacity: int | None) -> None:
        self._capacity = capacity
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._error: BaseException | None = None

    def put(self, item: T) -> None:
        """Append an item, and wait for room before it. Raises `Closed`, or what closed it."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._full())
            if self._closed:
                raise self._error or Closed
            self._items.append(item)
            self._changed.notify_all()

    def get(self) -> T:
        """Take the oldest item, and wait for one. Raises `Closed`, or what closed it."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._items)
            if self._closed:
                raise self._error or Closed
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def check(self) -> None:
        """Raise `Closed`, or what closed it, if it is closed."""
        with self._changed:
            if self._closed:
                raise self._error or Closed

    def close(self, error: BaseException | None = None) -> None:
        """Wake both sides: each `put` and `get`, waiting or not, raises ``error`` or `Closed`."""
        with self._changed:
            if not self._closed:
                self._closed, self._error = True, error
            self._items.clear()
            self._changed.notify_all()

    def _full(self) -> bool:
        return self._capacity is not None and len(self._items) >= self._capacity

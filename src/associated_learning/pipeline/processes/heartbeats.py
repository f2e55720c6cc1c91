"""How long each process of a run has been silent."""

from __future__ import annotations

from collections.abc import Collection, Mapping

__all__ = ["Heartbeats"]


class Heartbeats:
    """Signs of life, each different from the one before.

    Time is not read from a clock but handed in: time in which the listener itself stood still
    tells nothing about the others.

    Example:
        >>> heartbeats = Heartbeats()
        >>> heartbeats.silent({1: b"a", 2: b"a"}, elapsed=3.0, patience=2.0)
        []
        >>> heartbeats.silent({1: b"b", 2: b"a"}, elapsed=3.0, patience=2.0)
        [2]
    """

    def __init__(self) -> None:
        self._last: dict[int, bytes] = {}
        self._silence: dict[int, float] = {}

    def silent(
        self,
        signs: Mapping[int, bytes],
        elapsed: float,
        patience: float,
        alive: Collection[int] = (),
    ) -> list[int]:
        """Take the latest sign of each rank; return those whose sign is too old.

        Args:
            signs: By rank.
            elapsed: Seconds since the call before.
            patience: Seconds up to which the same sign is no reason to worry.
            alive: Those who are known to live without a new sign.
        """
        for rank, sign in signs.items():
            same = self._last.get(rank) == sign and rank not in alive
            self._silence[rank] = self._silence.get(rank, 0.0) + elapsed if same else 0.0
            self._last[rank] = sign
        return [rank for rank in signs if self._silence[rank] > patience]

"""One thing that was checked, and what it says where it does not hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from associated_learning.errors import ConversionError, Fault

__all__ = ["Check", "raise_broken"]


class Check(NamedTuple):
    """One thing that was checked.

    Attributes:
        claim: What should hold.
        holds: Whether it does.
        evidence: What was compared, or what is wrong.
        place: Where it is wrong: a layer, or the model itself.
        remedy: What to do about it.
    """

    claim: str
    holds: bool
    evidence: str
    place: str = "the model itself"
    remedy: str = ""


def raise_broken(checks: Iterable[Check]) -> None:
    """Raise ConversionError with every check that does not hold; do nothing if all hold."""
    broken = [Fault(c.place, c.evidence, c.remedy) for c in checks if not c.holds]
    if broken:
        raise ConversionError(dict.fromkeys(broken))

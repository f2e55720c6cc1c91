"""Which local loss of the table the layers of an AL form learn by."""

from __future__ import annotations

from associated_learning.conversion.options import Association
from associated_learning.errors import InputError, nearest
from associated_learning.losses.table import LOCAL_LOSSES, LocalLoss
from associated_learning.targets import Classes, Target

__all__ = ["chosen_loss"]


def chosen_loss(association: Association, target: Target | None) -> LocalLoss:
    """Return what the layers learn by.

    Args:
        association: A name in the table, a function, None for Equation 3's, or "auto": contrast
            for classes, the target's own loss where y has positions, and Equation 3's for others.
        target: What y is, where that is known.

    Raises:
        InputError: There is no such loss, or it does not fit targets with positions.

    Example:
        >>> chosen_loss("auto", Classes(3)) is LOCAL_LOSSES["contrast"]
        True
    """
    if association is not None and not isinstance(association, str):
        if not callable(association):
            raise InputError(f"association={association!r} came; expected a name or a function.")
        own = association
        return LocalLoss(what="a function", source="the user", make=lambda _: own)
    name = _automatic(target) if association == "auto" else association or "squared"
    if name not in LOCAL_LOSSES:
        known = ("auto", *LOCAL_LOSSES)
        raise InputError(
            f"association={name!r} came; expected one of {', '.join(known)}, None or a function."
            f"{nearest(name, known)}"
        )
    found = LOCAL_LOSSES[name]
    if target is not None and target.positions and not found.positions:
        raise InputError(
            f"association={name!r} compares samples as wholes, and y has positions; use ce."
        )
    return found


def _automatic(target: Target | None) -> str:
    if target is not None and target.positions:
        return "ce"  # every exit answers by itself
    return "contrast" if isinstance(target, Classes) else "squared"

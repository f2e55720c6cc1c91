"""Coders that learn nothing: g and h of an AL form whose targets are prototypes."""

from __future__ import annotations

from typing import get_args

from torch import nn

from associated_learning.conversion.chosen_loss import chosen_loss
from associated_learning.conversion.options import ALOptions, CoderKind
from associated_learning.errors import InputError
from associated_learning.models.prototypes import PrototypeAnswer, Prototypes
from associated_learning.targets import Classes, Target

__all__ = ["check_coders", "fixed_coders"]


def check_coders(options: ALOptions, target: Target, widths: list[int]) -> None:
    """Check that the coders which are asked for can be made.

    Raises:
        InputError: There are no such coders, or they do not fit y, the loss or the widths.
    """
    if options.coders not in get_args(CoderKind):
        kinds = ", ".join(get_args(CoderKind))
        raise InputError(f"coders={options.coders!r} came; expected one of {kinds}.")
    if options.coders == "learned":
        return
    told = f"coders={options.coders!r} came"
    if not isinstance(target, Classes) or target.positions:
        raise InputError(
            f"{told} for {type(target).__name__}{' with positions' * bool(target.positions)}; "
            "there is a prototype for each of a sample's classes: expected al.Classes(k), or "
            "coders='learned'."
        )
    if target.weight is not None or target.label_smoothing:
        raise InputError(
            f"{told} for a target with weight or label_smoothing, which belong to the loss of the "
            "first autoencoder, and there is none; leave them out, or take coders='learned'."
        )
    if not chosen_loss(options.association, target).autoencoders:
        raise InputError(
            f"{told} with association={options.association!r}, which has no g and h: its bridges "
            "answer y itself; expected 'squared' or 'contrast', or leave coders out."
        )
    if len(set(widths)) > 1:
        raise InputError(
            f"{told} with latent widths {widths}; a prototype is the same in every layer: expected "
            "one width for all."
        )


def fixed_coders(target: Target, latent: int, *, first: bool) -> tuple[nn.Module, nn.Module]:
    """Return g and h of a layer: prototypes in the first one, above it t as it is."""
    if not first:
        return nn.Identity(), nn.Identity()
    answer = PrototypeAnswer(target.size, latent, bounded=target.bounded_output)
    return Prototypes(target.size, latent), answer

"""The checks that conversion itself makes: some at once, all of them if asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from torch import Tensor

from associated_learning.conversion.checks.batches import check_batches
from associated_learning.conversion.checks.check import Check, raise_broken
from associated_learning.conversion.checks.gradients import check_gradients
from associated_learning.conversion.checks.holdings import check_holdings
from associated_learning.conversion.checks.positions import check_positions
from associated_learning.conversion.checks.reach import check_reach
from associated_learning.conversion.checks.rows import check_rows
from associated_learning.conversion.checks.subject import Subject
from associated_learning.conversion.slicing.slice import Stream
from associated_learning.errors import InputError

__all__ = ["Level", "check_conversion", "check_level", "checks_on"]

Level = Literal["quick", "full"]
_LARGE = 100_000  # numbers of a parameter whose gradient the quick checks leave out


def check_level(level: Level) -> None:
    """Raise InputError if a level of checks is none."""
    if level not in get_args(Level):
        raise InputError(f"check={level!r} came; expected one of {', '.join(get_args(Level))}.")


def check_conversion(
    subject: Subject,
    inputs: Mapping[str, Tensor],
    level: Level,
    branches: tuple[str, ...],
    smaller: Mapping[str, Tensor] | None = None,
    known: Sequence[Stream] | None = None,
) -> None:
    """Raise ConversionError if the layers do not compute and learn what the model does.

    Args:
        subject: Model and layers.
        inputs: The example.
        level: "quick" takes two samples, changes one of them, and compares gradients in training
            mode alone, on a smaller batch if there is one, and without those of large parameters;
            "full" leaves nothing out.
        branches: Modules that are known to do something else in training mode.
        smaller: The example with fewer positions or samples; None if no fewer are taken.
        known: What the layers hand on for its first two samples, if that is known.
    """
    if any(value.is_meta for value in inputs.values()):
        return
    if level == "full":
        raise_broken(checks_on(subject, inputs, branches))
        return
    found = check_holdings(subject)
    few = subject.arguments.fewer(inputs, 2)
    if not subject.arguments.linked:
        rows = check_rows(subject, few, (0,), in_other_order=False, known=known)
        if not all(check.holds for check in rows):  # two samples may be alike in what is read
            rows = check_rows(subject, inputs, range(subject.arguments.count(inputs)))
        found += rows
    if subject.positions:
        found += check_positions(subject, few)
    batches = [few] if smaller is None else [subject.arguments.fewer(smaller, 2), few]
    raise_broken(found + _some_gradients(subject, batches, branches))


def checks_on(
    subject: Subject, inputs: Mapping[str, Tensor], branches: tuple[str, ...]
) -> list[Check]:
    """Return all checks, on a batch of any size; see `check_conversion`."""
    found = check_holdings(subject)
    count = subject.arguments.count(inputs)
    if not subject.arguments.linked:
        if count > 1:
            found += check_rows(subject, inputs, range(min(count, 8)))
            found += check_reach(subject, inputs)
        found += check_batches(subject, inputs)
    if subject.positions:
        found += check_positions(subject, inputs)
    if not branches:
        found += check_gradients(subject, inputs, in_training=True)
    return found + check_gradients(subject, inputs, in_training=False)


def _some_gradients(
    subject: Subject, batches: list[dict[str, Tensor]], branches: tuple[str, ...]
) -> list[Check]:
    """Compare gradients in training, on the first batch that it takes; else in evaluation."""
    ways = [(batch, True) for batch in batches if not branches]
    for batch, in_training in (*ways, (batches[0], False)):
        found = check_gradients(subject, batch, in_training=in_training, most=_LARGE)
        if found:
            return found
    return []

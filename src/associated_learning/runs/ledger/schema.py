"""What a row of the ledger may hold: the schema that every line is checked against."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from associated_learning.errors import InputError

__all__ = ["TIERS", "check_row"]

TIERS = ("full", "cpu", "resampled", "single")

Check = Callable[[Any], bool]


def _text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _whole(least: int) -> Check:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least


def _number(value: Any) -> bool:
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    return plain and math.isfinite(value) and value >= 0


def _share(value: Any) -> bool:
    return _number(value) and value <= 1


def _list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _optional(check: Check) -> Check:
    return lambda value: value is None or check(value)


_SCHEMA: dict[str, tuple[Check, str]] = {
    **dict.fromkeys(
        ("experiment", "data", "model", "variant", "commit", "hardware", "torch"),
        (_text, "a text"),
    ),
    "method": (lambda value: value in ("al", "bp"), "al or bp"),
    "tier": (lambda value: value in TIERS, f"one of {', '.join(TIERS)}"),
    "seed": (_whole(0), "a whole number of 0 or more"),
    "config": (lambda value: isinstance(value, dict), "an object"),
    "epochs": (_whole(1), "a whole number of 1 or more"),
    "best_epoch": (_whole(1), "a whole number of 1 or more"),
    "validation": (_list_of(_share), "shares from 0 to 1"),
    "test": (_list_of(_share), "shares from 0 to 1"),
    "seconds": (_number, "a number of 0 or more"),
    "train_samples": (_optional(_whole(1)), "a whole number of 1 or more, or null"),
    "train_pool": (_optional(_whole(1)), "a whole number of 1 or more, or null"),
    "test_samples": (_optional(_whole(1)), "a whole number of 1 or more, or null"),
    "vector_dim": (_optional(_whole(1)), "a whole number of 1 or more, or null"),
    "vector_coverage": (_optional(_share), "a share from 0 to 1, or null"),
    "parameters": (_optional(_whole(1)), "a whole number of 1 or more, or null"),
    "associated": (_list_of(_number), "numbers of 0 or more"),
    "validation_curve": (_list_of(_list_of(_share)), "lists of shares from 0 to 1"),
    "training_curve": (_list_of(_share), "shares from 0 to 1"),
    "answers": (_optional(_text), "a text, or null"),
    "best_depth": (_optional(_whole(1)), "a whole number of 1 or more, or null"),
    "largest_class": (_optional(_share), "a share from 0 to 1, or null"),
}  # fmt: skip


def check_row(columns: Mapping[str, Any]) -> None:
    """Check the values of a row, and that they agree with each other.

    Args:
        columns: The columns of a row by name (`LedgerRow.to_json`).

    Raises:
        InputError: One does not fit; names it, what came and what was expected.
    """
    for name, (fits, expected) in _SCHEMA.items():
        if not fits(columns[name]):
            raise InputError(f"{name} is {columns[name]!r:.80}; expected {expected}.")
    epochs, test, validation = columns["epochs"], columns["test"], columns["validation"]
    if columns["best_epoch"] > epochs:
        raise InputError(f"best_epoch is {columns['best_epoch']} of {epochs} epochs.")
    if len(test) != len(validation) or not test:
        raise InputError(
            f"{len(test)} test scores came beside {len(validation)} of validation; "
            "expected one of each for every depth."
        )
    for name in ("validation_curve", "training_curve"):
        curve = columns[name]
        if curve and len(curve) != epochs:
            raise InputError(f"{name} has {len(curve)} entries for {epochs} epochs.")

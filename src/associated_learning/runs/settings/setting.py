"""One setting: its default, its help text, and the values it takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import Field, field
from typing import Any

from associated_learning.errors import InputError, nearest

__all__ = ["check_value", "numbers", "option", "setting"]


def setting(
    panel: str,
    default: Any,
    text: str,
    *,
    choices: tuple[str, ...] = (),
    least: float | None = None,
    most: float | None = None,
    prefix: str = "",
) -> Any:
    """Return the field of a setting.

    Args:
        panel: Where it stands in the help.
        default: Its default, which the help shows; None where the model or method decides.
        text: What the help says of it.
        choices: The values it takes; empty for any.
        least: Its least value.
        most: Its largest value.
        prefix: What begins so is taken beside the choices.
    """
    metadata = {
        "panel": panel,
        "help": text,
        "choices": choices,
        "least": least,
        "most": most,
        "prefix": prefix,
    }
    return field(default=default, metadata=metadata)


def option(name: str) -> str:
    """Return what a setting is called on the command line, such as ``--batch-size``."""
    return "--" + name.replace("_", "-")


def check_value(checked: Field[Any], value: Any) -> None:
    """Raise InputError for a value that a setting does not take."""
    if value is None:
        return
    limits = checked.metadata
    if limits["choices"]:
        _check_choice(option(checked.name), value, limits)
    least, most = limits["least"], limits["most"]
    # "not at least" instead of "less than", because NaN is neither
    if least is not None and not value >= least:
        expected = f"at least {least}"
    elif most is not None and not value <= most:
        expected = f"at most {most}"
    elif isinstance(value, float) and math.isinf(value):
        expected = "a finite number"
    else:
        return
    raise InputError(f"{option(checked.name)} {value} came; expected {expected}.")


def _check_choice(name: str, value: Any, limits: Mapping[str, Any]) -> None:
    known, prefix = limits["choices"], limits["prefix"]
    named = prefix and str(value).startswith(prefix) and value != prefix
    if value not in known and not named:
        more = f", or {prefix}NAME" if prefix else ""
        raise InputError(
            f"{name} {value} came; expected one of {', '.join(known)}{more}.{nearest(value, known)}"
        )


def numbers(name: str, text: str | None) -> list[int]:
    """Return the whole numbers of a setting, which stand with commas between them.

    Raises:
        InputError: It holds something else.

    Example:
        >>> numbers("latents", "128,300"), numbers("latents", None)
        ([128, 300], [])
    """
    try:
        return [int(number) for number in text.split(",")] if text is not None else []
    except ValueError:
        raise InputError(
            f"{option(name)} {text} came; expected a number, or numbers with commas between them, "
            "such as 2,1,1."
        ) from None

"""What settings a search chooses from: ranges and lists, as text of the command line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, get_args, get_type_hints

from associated_learning.errors import InputError, nearest
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.settings.setting import check_value, option
from associated_learning.runs.settings.unused import AL_ONLY, BP_ONLY

__all__ = ["DEFAULT_SPACE", "Choices", "Range", "SearchSpace", "of_method", "parsed_space"]

DEFAULT_SPACE = ("lr=1e-4..1e-2", "batch_size=16,32,64")
_FIXED = ("task", "data", "test_data", "model", "method", "seed", "data_seed", "executor", "device")


@dataclass(frozen=True)
class Choices:
    """One of some values."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Range:
    """A number from ``low`` to ``high``; by its logarithm where they are a factor of 10 apart."""

    low: float
    high: float
    whole: bool

    @property
    def log(self) -> bool:
        """Whether numbers are drawn by their logarithm."""
        return self.low > 0 and self.high / self.low >= 10

    def position(self, value: float) -> float:
        """Return where a number lies between ``low`` (0) and ``high`` (1).

        Example:
            >>> Range(1e-4, 1e-2, whole=False).position(1e-3)
            0.5
        """
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


SearchSpace = dict[str, Choices | Range]


def parsed_space(texts: Sequence[str], *, method: str = "al") -> SearchSpace:
    """Return the settings that a search chooses, those of AL alone only for AL.

    Args:
        texts: Such as "lr=1e-4..1e-2" or "batch_size=16,32,64", names with - or _.
        method: "al" or "bp".

    Raises:
        InputError: A setting is unknown, or takes no such value.

    Example:
        >>> parsed_space(["lr=1e-4..1e-2", "batch-size=16,32"])
        {'lr': Range(low=0.0001, high=0.01, whole=False), 'batch_size': Choices(values=(16, 32))}
        >>> parsed_space(["latent=32,64"], method="bp")
        {}
    """
    found: SearchSpace = {}
    for text in texts:
        name, equals, values = text.partition("=")
        name = name.strip().removeprefix("--").replace("-", "_")
        if not equals:
            raise InputError(
                f"--search {text} came; expected such as lr=1e-4..1e-2 or lr=1e-3,3e-3."
            )
        if name in found:
            raise InputError(f"--search {option(name)} came twice; give all its values at once.")
        found[name] = _parsed(name, values)
    return {name: one for name, one in found.items() if method == "al" or name not in AL_ONLY}


def of_method(config: RunConfig, method: str) -> RunConfig:
    """Return settings for a method: those that only the other one reads are left out.

    Example:
        >>> of_method(RunConfig(latent=64), "bp").latent is None
        True
    """
    others = AL_ONLY if method == "bp" else BP_ONLY
    return replace(config, method=method, **{name: getattr(RunConfig, name) for name in others})


def _parsed(name: str, values: str) -> Choices | Range:
    known = {setting.name: setting for setting in fields(RunConfig)}
    if name not in known or name in _FIXED:
        why = "which is the same for all" if name in known else "which is no setting"
        raise InputError(
            f"--search {option(name)} came, {why}; expected settings of al train such as lr, "
            f"batch_size, dropout, latent.{nearest(name, known)}"
        )
    kind = _kind(name)
    low, dots, high = values.partition("..")
    if dots:
        ends = [_value(name, end, kind) for end in (low, high)]
        if kind not in (int, float) or not ends[0] < ends[1]:
            raise InputError(
                f"--search {name}={values} came; expected a range of numbers, the lower one first."
            )
        return Range(float(ends[0]), float(ends[1]), whole=kind is int)
    chosen = tuple(_value(name, value, kind) for value in values.split(","))
    for value in chosen:
        check_value(known[name], value)
    return Choices(chosen)


def _kind(name: str) -> type:
    hint = get_type_hints(RunConfig)[name]
    kinds = [kind for kind in get_args(hint) or (hint,) if kind is not type(None)]
    return kinds[0] if isinstance(kinds[0], type) else str


def _value(name: str, text: str, kind: type) -> Any:
    text = text.strip()
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        value = kind(text)
    except (ValueError, KeyError):
        value = None
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        raise InputError(f"--search {name} has {text!r}; expected values of type {kind.__name__}.")
    return value

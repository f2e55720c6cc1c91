"""A run's settings with nothing left to decide, for new runs and for those of older versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from associated_learning.errors import CheckpointError, InputError
from associated_learning.runs.settings.config import ResolvedConfig, RunConfig
from associated_learning.runs.settings.defaults import defaults_of
from associated_learning.runs.settings.model import FAMILIES
from associated_learning.runs.settings.unused import check_unused

__all__ = ["resolved", "restored"]

_RETIRED: dict[str, tuple[Any, ...]] = {"normalize": (None, False)}  # and what meant "without"


def resolved(config: RunConfig) -> ResolvedConfig:
    """Return the settings with every None that has a default of the model filled in.

    Raises:
        InputError: A setting came that the model or the method would not read.

    Example:
        >>> resolved(RunConfig(model="bilstm")).hidden, resolved(RunConfig(model="cnn")).lr
        (300, 0.001)
        >>> resolved(RunConfig(model="cnn", preset="paper")).lr
        0.0001
    """
    if isinstance(config, ResolvedConfig):
        return config
    check_unused(config)
    return _filled(config)


def restored(values: Mapping[str, Any]) -> ResolvedConfig:
    """Return the settings of an older run, from what `RunConfig.to_json` gave.

    What was not decided then, or had no name, is what it meant.

    Raises:
        CheckpointError: They are foreign.

    Example:
        >>> restored({"model": "cnn"}).association, resolved(RunConfig(model="cnn")).association
        ('squared', 'contrast')
    """
    before: dict[str, Any] = {"association": "squared", "preset": "paper", "patience_updates": 0}
    if values.get("method") == "bp" and values.get("model") in FAMILIES:
        before["encoders"] = "paper"
    values = {name: value for name, value in values.items() if not _is_off(name, value)}
    if values.get("model") == "vgg":
        before["batch_norm"] = values.get("method") == "bp"
    try:
        return _filled(RunConfig(**{**before, **values}))
    except (TypeError, InputError) as error:
        raise CheckpointError(
            f"the settings of the run are of another version of this library ({error})."
        ) from error


def _is_off(name: str, value: Any) -> bool:
    """Return whether this is a setting that no longer exists, of a run that did without."""
    return name in _RETIRED and value in _RETIRED[name]


def _filled(config: RunConfig) -> ResolvedConfig:
    given = config.to_json()
    filled = {name: value for name, value in defaults_of(config).items() if given[name] is None}
    return ResolvedConfig(**{**given, **filled})

"""Targets from what describes them, as a file keeps it."""

from __future__ import annotations

from associated_learning.errors import InputError
from associated_learning.targets.classes import Classes
from associated_learning.targets.multilabel import MultiLabel
from associated_learning.targets.regression import Regression
from associated_learning.targets.target import Target

__all__ = ["target_from_config"]


def target_from_config(config: dict[str, object]) -> Target:
    """Build the target that `Target.config` described.

    Raises:
        InputError: It describes none.

    Example:
        >>> target_from_config({"kind": "regression", "d": 2}).size
        2
    """
    kinds: dict[object, type[Classes] | type[MultiLabel] | type[Regression]] = {
        "classes": Classes,
        "multilabel": MultiLabel,
        "regression": Regression,
    }
    arguments = {key: value for key, value in config.items() if key != "kind"}
    try:
        return kinds[config.get("kind")](**arguments)  # type: ignore[arg-type]
    except (KeyError, TypeError) as error:
        raise InputError(f"{config} describes no target; expected one of {[*kinds]}.") from error

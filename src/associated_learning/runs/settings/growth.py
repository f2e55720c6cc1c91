"""The settings of a run whose network grows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from associated_learning.runs.settings.setting import setting

__all__ = ["GrowthSettings"]

_setting = partial(setting, "Growth")


@dataclass(frozen=True, kw_only=True)
class GrowthSettings:
    """When layers come on top, and which are kept (section 2.2.2)."""

    grow_from: int | None = _setting(
        None,
        "AL: begin with this many of the lowest layers, and put the others on top one by one, "
        "whenever the validation accuracy of the top one stands still (section 2.2.2).",
        least=1,
    )
    grow_patience: int = _setting(
        3,
        "Epochs without a better accuracy of the top layer before the next one; training ends "
        "where that would be one too many, or the last one added too little.",
        least=1,
    )
    grow_rise: float = _setting(
        0.0,
        "What that accuracy must have gained in so many epochs, or it counts as standing still, "
        "such as 0.005.",
        least=0,
        most=1,
    )
    grow_gain: float = _setting(
        0.0,
        "What a layer must add to the accuracy to be kept, such as 0.002.",
        least=0,
        most=1,
    )
    grow_freeze: bool = _setting(False, "Freeze all layers below a new one.")
    grow_settled: int | None = _setting(
        None,
        "Freeze a layer whose own loss has fallen by less than 1 % in this many epochs, once "
        "all layers below it are frozen.",
        least=1,
    )

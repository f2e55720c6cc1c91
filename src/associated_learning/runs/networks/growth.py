"""A run whose network grows: what it begins with, and by what rules layers come on top."""

from __future__ import annotations

import copy

from associated_learning.errors import InputError
from associated_learning.layer import ALLayer
from associated_learning.network import ALNetwork, Network
from associated_learning.runs.settings.config import ResolvedConfig
from associated_learning.training.growth.rules import Growth

__all__ = ["growth_of", "lowest_layers"]


def growth_of(config: ResolvedConfig, whole: Network) -> Growth | None:
    """Return the rules of growth up to a network; None if it is trained as a whole.

    The layers to come are those of the network, with the weights that they have there: a grown
    network begins with the same weights as one whose layers train all at once.
    """
    if config.grow_from is None:
        return None
    assert isinstance(whole, ALNetwork)  # the settings are checked

    def layer(number: int) -> ALLayer:
        return copy.deepcopy(whole.al_layers()[number - 1])

    return Growth(
        make=layer,
        max_layers=whole.num_layers,
        patience=config.grow_patience,
        min_rise=config.grow_rise,
        min_gain=config.grow_gain,
        freeze_below=config.grow_freeze,
        layer_patience=config.grow_settled,
    )


def lowest_layers(whole: Network, count: int | None) -> Network:
    """Return the lowest layers of a network as one of their own; for None itself.

    Raises:
        InputError: It has not so many.
    """
    if count is None:
        return whole
    assert isinstance(whole, ALNetwork)
    if count > whole.num_layers:
        raise InputError(
            f"--grow-from {count} came for a model of {whole.num_layers} layers; expected at most "
            f"{whole.num_layers}, or more layers to grow to (--num-layers)."
        )
    lowest = copy.deepcopy(whole)
    lowest.truncate(count)
    return lowest

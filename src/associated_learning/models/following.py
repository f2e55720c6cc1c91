"""Parts of a layer that follow the weights of layers above it, before and after each update."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from associated_learning.errors import InputError
from associated_learning.models.lookahead import Lookahead
from associated_learning.models.overlap import OverlapLoss

__all__ = ["follow_layers", "is_following", "set_overlaps"]


def is_following(block: nn.Module) -> bool:
    """Return whether parts of a layer follow other layers: its bridge, or its window."""
    return _bridge(block) is not None or _window(block) is not None


def set_overlaps(blocks: Sequence[nn.Module], trained: Sequence[bool], first: int = 1) -> None:
    """Set the copies in windows to the layers above, before these and they are updated.

    Args:
        blocks: Consecutive layers.
        trained: Which of them are to be updated; the windows of others stay as they are.
        first: Number of the first of them, from 1.

    Raises:
        InputError: A layer that is followed is not among them.
    """
    for i, block in enumerate(blocks):
        window = _window(block)
        if trained[i] and window is not None:
            _check(i, i + 1, len(blocks), first, "window", "overlap")
            window.follow(blocks[i + 1])


def follow_layers(blocks: Sequence[nn.Module], trained: Sequence[bool], first: int = 1) -> None:
    """Let the copies in bridges with a momentum follow the layers, after these were updated.

    Arguments and errors are those of `set_overlaps`.
    """
    for i, block in enumerate(blocks):
        bridge = _bridge(block)
        if trained[i] and bridge is not None:
            _check(i, i + bridge.offsets[-1], len(blocks), first, "bridge", "bridge_momentum")
            bridge.follow([blocks[i + k].get_submodule("f") for k in bridge.offsets])


def _bridge(block: nn.Module) -> Lookahead | None:
    readout = getattr(block, "readout", None)
    follows = isinstance(readout, Lookahead) and readout.momentum is not None
    return readout if follows else None


def _window(block: nn.Module) -> OverlapLoss | None:
    window = getattr(block, "window", None)
    return window if isinstance(window, OverlapLoss) else None


def _check(i: int, top: int, count: int, first: int, part: str, option: str) -> None:
    if top >= count:
        raise InputError(
            f"the {part} of layer {first + i} follows layer {first + top} ({option}), which does "
            "not train in the same stage; train all layers in one: executor='sequential', and no "
            f"growth. Or leave {option} out."
        )

"""When a network gets another layer, and when a layer stops learning (section 2.2.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from associated_learning.errors import InputError
from associated_learning.layer import ALLayer
from associated_learning.network import ALNetwork, Network
from associated_learning.state.training_state import EpochRecord
from associated_learning.tensors.devices import device_of
from associated_learning.tensors.randomness.keyed import seeded

__all__ = ["Decision", "Growth", "decide"]


@dataclass(frozen=True, kw_only=True)
class Growth:
    """How a trainer lets a network grow, layer by layer, at the ends of epochs.

    When the validation score of the top exit has not risen for ``patience`` epochs, or by no more
    than ``min_rise``, a layer is put on top, and all go on training. When the newest layer has
    added no more than ``min_gain``, or there are ``max_layers``, training ends. What is kept is
    the depth with the best validation score, where every layer above the first costs
    ``min_gain``, in its best epoch.

    Args:
        make: Makes layer number ``i``, counted from 1. It is called with torch's generators keyed
            by the trainer's seed and ``i``, and again when a run is resumed and in every process
            of a pipeline: it must make the same layer every time.
        max_layers: Largest number of layers.
        patience: Number of epochs without a better score at the top exit after which its curve
            counts as flat.
        min_rise: What the best score must have risen by in that time, in parts of 1, or the curve
            counts as flat too: a curve that creeps upward would keep layers waiting for long.
        min_gain: A layer is worth it if it adds more than this to the best score of the depth
            below it, in parts of 1.
        freeze_below: Freeze all layers below a new one, which then trains alone.
        layer_patience: Number of epochs without progress in its own training loss after which a
            layer is frozen, once all layers below it are, and never the top one; None freezes none.
        settle: How much the loss must have fallen in that time to count as progress, in parts of
            its lowest value before.
        when: Rule of one's own instead of ``patience``: told all finished epochs, it returns
            whether to put a layer on top now. It should depend on them alone, as it is asked
            again when a run is resumed. Training then goes on through all epochs.

    Raises:
        InputError: A number is out of its range.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> x = torch.randn(64, 4)
        >>> batches = al.LoaderBatches([(x, (x[:, 0] > 0).long())])
        >>> net = al.al_form([nn.Linear(4, 8)], x, al.Classes(2), latent=6)
        >>> def make(depth):
        ...     f = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
        ...     return al.ALLayer(f=f, b=nn.Linear(8, 6), g=nn.Linear(6, 6), h=nn.Linear(6, 6))
        >>> growth = al.Growth(make=make, max_layers=3, when=lambda records: len(records) in (2, 3))
        >>> state = al.Trainer(epochs=4, growth=growth).fit(net, batches)
        >>> [len(record.losses) for record in state.records], net.num_layers
        ([1, 1, 2, 3], 3)
    """

    make: Callable[[int], ALLayer]
    max_layers: int
    patience: int = 3
    min_rise: float = 0.0
    min_gain: float = 0.0
    freeze_below: bool = False
    layer_patience: int | None = None
    settle: float = 0.01
    when: Callable[[Sequence[EpochRecord]], bool] | None = None

    def __post_init__(self) -> None:
        for name in ("max_layers", "patience", "layer_patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name}={value} came; expected at least 1.")
        # "not at least" instead of "less than", because NaN is neither
        for name in ("min_rise", "min_gain"):
            value = getattr(self, name)
            if not value >= 0:
                raise InputError(f"{name}={value} came; expected 0 or more, such as 0.002.")
        if not 0 <= self.settle < 1:
            raise InputError(f"settle={self.settle} came; expected 0 to 1, such as 0.01.")

    def check(self, net: Network) -> None:
        """Raise InputError if the network cannot grow so."""
        if not isinstance(net, ALNetwork) or len(net.blocks()) < net.num_layers:
            raise InputError(
                f"growth came for {type(net).__name__}; expected an ALNetwork whose layers have "
                "gradient stop and associated loss: only those train on as they did."
            )
        if self.max_layers < net.num_layers:
            raise InputError(
                f"max_layers={self.max_layers} came for a network of {net.num_layers} layers; "
                f"expected at least {net.num_layers}."
            )

    def extend(self, net: Network, depth: int, *, seed: int) -> None:
        """Put layers on top until there are so many.

        Args:
            net: The network.
            depth: Number of layers.
            seed: Seed of the run.

        Raises:
            InputError: ``make`` gave no layer that trains in isolation.
        """
        assert isinstance(net, ALNetwork)  # checked
        for number in range(net.num_layers + 1, depth + 1):
            net.append(self._layer(number, seed, device_of(net)))

    def rehearse(self, net: Network, x: Any, *, seed: int) -> None:
        """Try all layers to come, so that one that does not fit is found before training.

        Args:
            net: The network; it is left as it is.
            x: A batch of inputs.
            seed: Seed of the run.

        Raises:
            InputError: A layer does not fit on what is below it.
        """
        assert isinstance(net, ALNetwork)
        trial = ALNetwork(net.al_layers(), net.target)
        for number in range(net.num_layers + 1, self.max_layers + 1):
            layer = self._layer(number, seed, device_of(net))
            try:
                trial.append(layer, x)
            except InputError as error:
                raise InputError(f"layer {number} cannot be put on top: {error}") from error

    def _layer(self, number: int, seed: int, device: torch.device) -> ALLayer:
        with seeded(seed, "layer", number, device=device):
            layer = self.make(number)
        if not isinstance(layer, ALLayer):
            raise InputError(f"make({number}) gave {type(layer).__name__}; expected an ALLayer.")
        if not (layer.stop_gradients and layer.use_associated):
            raise InputError(
                f"make({number}) gave a layer without gradient stop or associated loss; expected "
                "one that trains in isolation. Leave both on."
            )
        return layer.to(device)


class Decision(NamedTuple):
    """What becomes of a network after an epoch.

    Attributes:
        depth: How many layers it has from now on.
        frozen: How many of them, from the input up, are frozen.
        over: Whether training ends.
    """

    depth: int
    frozen: int
    over: bool


def decide(growth: Growth, records: Sequence[EpochRecord], *, frozen: int = 0) -> Decision:
    """Return what the finished epochs ask for."""
    depth = len(records[-1].losses)
    if growth.when is not None:
        due, over = growth.when(records), False
    else:
        due = _is_flat(records, growth)
        over = due and (depth >= growth.max_layers or not _was_worth_it(records, growth.min_gain))
    grown = min(depth + 1, growth.max_layers) if due and not over else depth
    if growth.freeze_below and grown > depth:
        return Decision(grown, depth, over)
    while frozen < grown - 1 and _has_settled(records, frozen, growth):
        frozen += 1
    return Decision(grown, frozen, over)


def _is_flat(records: Sequence[EpochRecord], growth: Growth) -> bool:
    """Return whether the top exit's score has not risen enough for so long."""
    patience = growth.patience
    depth = len(records[-1].losses)
    curve = [_score(record, depth) for record in records if len(record.losses) == depth]
    if len(curve) <= patience:
        return False
    return max(curve[-patience:]) <= max(curve[:-patience]) + growth.min_rise


def _was_worth_it(records: Sequence[EpochRecord], min_gain: float) -> bool:
    """Return whether the top layer added enough; those that were there at first are not asked."""
    depth = len(records[-1].losses)
    if depth == len(records[0].losses):
        return True
    best, below = (
        max(_score(record, d) for record in records if len(record.losses) >= d)
        for d in (depth, depth - 1)
    )
    return best - below > min_gain


def _has_settled(records: Sequence[EpochRecord], block: int, growth: Growth) -> bool:
    """Return whether a layer's loss has not fallen for so long."""
    patience = growth.layer_patience
    curve = [sum(record.losses[block].values()) for record in records if len(record.losses) > block]
    if patience is None or len(curve) <= patience:
        return False
    return min(curve[-patience:]) >= (1 - growth.settle) * min(curve[:-patience])


def _score(record: EpochRecord, depth: int) -> float:
    score = record.scores[depth - 1]
    return score if score == score else float("-inf")  # NaN is never the best

"""How sure an exit is of its answer: one number a sample, the larger the surer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from associated_learning.errors import InputError, nearest
from associated_learning.network import ALNetwork
from associated_learning.targets import Classes, Target
from associated_learning.tensors.devices import device_of

__all__ = ["MEASURES", "ExitAnswer", "Measure", "measure_named", "prototypes"]


class ExitAnswer(NamedTuple):
    """What an exit says of N samples.

    Attributes:
        probabilities: ``[N, C]``.
        labels: The likeliest class, ``[N]``.
        streak: Number of exits in a row, up to this one, that gave this label, ``[N]``.
        latent: ``s'_k = b_k(s_k)``, ``[N, D_k]``.
        prototypes: ``t_k`` of every class, ``[C, D_k]``.
    """

    probabilities: Tensor
    labels: Tensor
    streak: Tensor
    latent: Tensor
    prototypes: Tensor

    @classmethod
    def of(
        cls,
        target: Target,
        output: Tensor,
        latent: Tensor,
        prototypes: Tensor,
        *,
        temperature: float = 1.0,
        before: ExitAnswer | None = None,
    ) -> ExitAnswer:
        """Read what an exit gives.

        Args:
            target: Of the network; one of several classes.
            output: ``t'_0`` of the exit, ``[N, C]``.
            latent: ``s'_k`` of the exit.
            prototypes: ``t_k`` of every class.
            temperature: What the output is divided by.
            before: What the exit below says of the same samples, for the streak.
        """
        labels, probabilities = target.predict(output / temperature)
        assert probabilities is not None  # the target is Classes: see `prototypes`
        streak = torch.ones_like(labels)
        if before is not None:
            streak += torch.where(labels == before.labels, before.streak, 0)
        return cls(probabilities, labels, streak, latent, prototypes)

    def rows(self, numbers: Tensor) -> ExitAnswer:
        """Return what it says of some of the samples."""
        return ExitAnswer(
            self.probabilities[numbers],
            self.labels[numbers],
            self.streak[numbers],
            self.latent[numbers],
            self.prototypes,
        )


Measure = Callable[[ExitAnswer], Tensor]


def _probability(answer: ExitAnswer) -> Tensor:
    return answer.probabilities.amax(dim=1)


def _margin(answer: ExitAnswer) -> Tensor:
    two = answer.probabilities.topk(2, dim=1).values
    return two.diff(dim=1).neg().squeeze(1)


def _entropy(answer: ExitAnswer) -> Tensor:
    """1 for a certain answer, 0 for all classes alike."""
    p = answer.probabilities
    entropy: Tensor = torch.special.entr(p).sum(dim=1)
    return 1 - entropy / math.log(p.shape[1])


def _patience(answer: ExitAnswer) -> Tensor:
    """Agreement of successive exits (PABEE: Zhou et al., 2020)."""
    return answer.streak.float()


def _prototype(answer: ExitAnswer) -> Tensor:
    r"""Minus the distance to the nearest label: ``-min_c \|b_k(s_k) - t_k(c)\|``."""
    return -torch.cdist(answer.latent.float(), answer.prototypes.float()).amin(dim=1)


MEASURES: Mapping[str, Measure] = {
    "probability": _probability,
    "margin": _margin,
    "entropy": _entropy,
    "patience": _patience,
    "prototype": _prototype,
}


def measure_named(name: str) -> Measure:
    """Return a measure by its name. Raises InputError if there is none of that name."""
    if name not in MEASURES:
        known = ", ".join(MEASURES)
        raise InputError(
            f"measure {name!r} came;{nearest(name, MEASURES)} expected one of {known}."
        )
    return MEASURES[name]


def prototypes(net: ALNetwork) -> list[Tensor]:
    """Return what every class looks like to the bridge of each layer, ``t_k``, ``[C, D_k]``.

    The network must be in evaluation mode.

    Raises:
        InputError: The target of the network is not one of several classes.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> net = al.al_form([nn.Linear(2, 8)], torch.randn(2, 2), al.Classes(3), latent=5)
        >>> [t.shape for t in prototypes(net.eval())]
        [torch.Size([3, 5])]
    """
    if not isinstance(net.target, Classes):
        raise InputError(
            f"a network for {type(net.target).__name__} came; early exit expects al.Classes, "
            "whose answers have a probability."
        )
    if net.target.positions:
        raise InputError(
            "a network that answers at every position came; early exit decides for whole samples, "
            "whose positions would be sure at different depths. Predict at one depth: "
            "predict(x, depth=...)."
        )
    found = []
    with torch.no_grad():
        t = net.target.encode(torch.arange(net.target.k)).to(device_of(net))
        for layer in net.al_layers():
            t = layer.g(t)
            found.append(t)
    return found

"""Rivals of the method on the same machinery: layers that learn labels without autoencoders."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Literal, get_args

from torch import Tensor, nn

from associated_learning.conversion.list_readouts import readouts_for
from associated_learning.errors import InputError
from associated_learning.layer import ALLayer, PerLayer, one_for_each
from associated_learning.losses.equation3 import autoencoder_loss
from associated_learning.losses.similarity import predsim_loss
from associated_learning.network import ALNetwork
from associated_learning.targets import Target
from associated_learning.targets.answer_loss import AnswerLoss

__all__ = ["RivalLoss", "rival_form"]

RivalLoss = Literal["ce", "predsim"]


def rival_form(
    encoders: Iterable[nn.Module],
    example: Any,
    target: Target,
    *,
    loss: RivalLoss = "ce",
    readout: PerLayer[nn.Module] | None = None,
    stop_gradients: PerLayer[bool] = True,
    features: int = 128,
) -> ALNetwork:
    """Put a classifier on every encoder: a network in AL form without autoencoders.

    g and h are identities, so that every ``t_i`` is y itself and every bridge predicts it. With
    gradient stops and "ce" that is Table 6, "w/o AE", and decoupled greedy learning (Belilovsky
    et al., 2020); without them deep supervision, as in BranchyNet; "predsim" adds the likeness of
    samples (Nøkland and Eidnes, 2019).

    Args:
        encoders: See `al_form`.
        example: See `al_form`.
        target: See `al_form`.
        loss: "ce", the target's own loss, or "predsim", that and `similarity_loss`.
        readout: See `ALOptions`, of which a network without autoencoders has these two.
        stop_gradients: See `ALOptions`.
        features: With "predsim": width of the features that are compared.

    Raises:
        InputError: See `al_form`; or there is no such loss.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> encoders = [nn.Linear(4, 8), nn.Linear(8, 8)]
        >>> net = rival_form(encoders, torch.randn(2, 4), al.Classes(3))
        >>> net(torch.randn(5, 4), depth=1).shape
        torch.Size([5, 3])
    """
    if loss not in get_args(RivalLoss):
        raise InputError(f"loss {loss!r} came; expected one of {', '.join(get_args(RivalLoss))}.")
    encoders = list(encoders)
    readouts, widths, resizes = readouts_for(encoders, example, readout, target)
    stops = one_for_each("values of stop_gradients", stop_gradients, len(encoders))
    if target.positions and loss != "ce":
        raise InputError(f"loss {loss!r} compares samples as wholes, and y has positions; use ce.")
    extra = features if loss == "predsim" else 0
    association = partial(predsim_loss, prediction=target.loss) if extra else AnswerLoss(target)
    layers = [
        ALLayer(
            f,
            _bridge(width, target.size + extra, resize),
            nn.Identity(),
            _First(target.size) if extra else nn.Identity(),
            readout=read,
            reconstruction=None if target.positions else autoencoder_loss,
            association=association,
            stop_gradients=stop,
        )
        for f, width, read, resize, stop in zip(
            encoders, widths, readouts, resizes, stops, strict=True
        )
    ]
    return ALNetwork(layers, target)


def _bridge(width: int, size: int, resize: nn.Module | None) -> nn.Module:
    linear = nn.Linear(width, size)
    return linear if resize is None else nn.Sequential(linear, resize)


class _First(nn.Module):
    """The first columns: what is left of a bridge's output when its features are gone."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, t: Tensor) -> Tensor:
        return t[:, : self.count]

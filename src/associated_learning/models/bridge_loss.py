"""What a layer's bridge loses against its target."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from associated_learning.errors import InputError
from associated_learning.losses.equation3 import associated_loss
from associated_learning.losses.table import PairLoss
from associated_learning.targets.answer_loss import AnswerLoss
from associated_learning.tensors.nested import detach

__all__ = ["bridge_loss"]


def bridge_loss(
    b: nn.Module, read: Tensor, t: Any, association: PairLoss | None, *, detach_target: bool
) -> Tensor:
    """Return the loss of ``b_i`` on what it reads, ``[B, *P, W]``, against ``t_i``.

    Without an ``association`` it is Equation 3's, see `associated_loss`.
    """
    if isinstance(association, AnswerLoss):
        return association.of_bridge(b, read, t)
    s_prime = b(read)
    latent = isinstance(t, Tensor) and t.is_floating_point()  # else labels of positions
    if latent and s_prime.shape[:-1] != t.shape[:-1]:
        raise InputError(
            f"the bridge gives {list(s_prime.shape)} for targets of {list(t.shape)}, a row for "
            "each; the inputs have another number of axes than the example had, or the readout "
            "keeps another one."
        )
    if association is None:
        return associated_loss(s_prime, t, detach_target=detach_target)
    return association(s_prime, detach(t) if detach_target else t)

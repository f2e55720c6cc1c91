"""The next layer as it is, through which a layer is judged too: windows of two that overlap."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from associated_learning.losses.table import PairLoss
from associated_learning.models.bridge_loss import bridge_loss
from associated_learning.tensors.nested import detach

__all__ = ["PARTS", "OverlapLoss"]

PARTS = ("f", "readout", "b", "g")  # of a layer, on which its associated loss depends


class OverlapLoss(nn.Module):
    r"""The associated loss of the layer above, as a function of this layer's activation.

    With copies :math:`f', b', g'` of the next layer, which are set to its weights before each
    update and learn nothing:

    .. math::
        \|b'_{i+1}(f'_{i+1}(s_i)) - g'_{i+1}(t_i)\|^2

    So ``f_i`` learns by its own loss and by that of layer i + 1: the windows of two layers of
    overlapping local updates (Laskin et al., 2020; Gomez et al., 2022), at the weights that both
    have before the update.

    Args:
        parts: Copies of what `PARTS` names, of the next layer.
        association: The next layer's loss; None for Equation 3's.
    """

    def __init__(self, parts: dict[str, nn.Module], association: PairLoss | None) -> None:
        super().__init__()
        self.copies = nn.ModuleDict({name: parts[name] for name in PARTS}).requires_grad_(False)
        self.association = association

    def forward(self, s: Any, t: Any) -> Tensor:
        """Return the loss, a scalar; ``t_i`` gets no gradient."""
        copies = self.copies
        read = copies["readout"](copies["f"](s))
        wanted = copies["g"](detach(t))
        return bridge_loss(copies["b"], read, wanted, self.association, detach_target=True)

    @torch.no_grad()
    def follow(self, layer: nn.Module) -> None:
        """Set the copies to the weights of the layer that they are copies of."""
        for name in PARTS:
            own, other = self.copies[name].parameters(), layer.get_submodule(name).parameters()
            for copy, weight in zip(own, other, strict=True):
                copy.copy_(weight)

"""The table of local losses: what one layer may learn by. A new one is one line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from associated_learning.losses.contrast import contrastive_loss
from associated_learning.losses.scpl import scpl_loss
from associated_learning.losses.similarity import predsim_loss

__all__ = ["LOCAL_LOSSES", "LocalLoss", "PairLoss"]

PairLoss = Callable[[Tensor, Tensor], Tensor]  # of b_i(s_i) against t_i, a scalar


@dataclass(frozen=True, kw_only=True)
class LocalLoss:
    """What a layer's bridge learns by, and what it needs for that.

    Attributes:
        what: What it is, in words, for help and tables.
        source: Where it is from.
        make: Returns the loss of ``b_i(s_i)``, ``[B, D + features]``, against ``t_i``,
            ``[B, D]``, for a target's own loss; None stands for Equation 3's squared error.
        autoencoders: Whether t goes through g and h; without them each ``t_i`` is y itself, so
            that every bridge answers by itself.
        features: Number of outputs of the bridge behind those that answer, which the loss alone
            reads; only without autoencoders.
        positions: Whether it also fits targets with positions.

    Example:
        >>> from associated_learning.losses.equation3 import autoencoder_loss
        >>> LOCAL_LOSSES["toy"] = LocalLoss(
        ...     what="squared error of the answer",
        ...     source="yours",
        ...     make=lambda own: autoencoder_loss,
        ...     autoencoders=False,
        ... )
        >>> LOCAL_LOSSES.pop("toy").source
        'yours'
    """

    what: str
    source: str
    make: Callable[[PairLoss], PairLoss | None]
    autoencoders: bool = True
    features: int = 0
    positions: bool = True


LOCAL_LOSSES: dict[str, LocalLoss] = {
    "squared": LocalLoss(
        what="squared error", source="Equation 3", make=lambda own: None
    ),
    "contrast": LocalLoss(
        what="squared error, and how hard it is to tell one's target from those of other classes",
        source="this library",
        make=lambda own: contrastive_loss,
    ),
    "ce": LocalLoss(
        what="cross-entropy, or what else the target's own loss is; with --no-stop-gradients deep "
        "supervision",
        source="Table 6, w/o AE; Belilovsky et al., 2020",
        make=lambda own: own,
        autoencoders=False,
    ),
    "predsim": LocalLoss(
        what="ce and the likeness of samples",
        source="Nøkland and Eidnes, 2019",
        make=lambda own: partial(predsim_loss, prediction=own),
        autoencoders=False,
        features=128,
        positions=False,
    ),
    "scpl": LocalLoss(
        what="ce and supervised contrast of normalised features",
        source="Wang et al., 2022; Khosla et al., 2020",
        make=lambda own: partial(scpl_loss, prediction=own),
        autoencoders=False,
        features=128,
        positions=False,
    ),
}  # fmt: skip

"""The settings of what the layers of a run learn by."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import get_args

from associated_learning.conversion.options import BlockSelection, CoderKind
from associated_learning.conversion.partners import BridgeKind
from associated_learning.losses.table import LOCAL_LOSSES
from associated_learning.runs.settings.setting import setting

__all__ = ["MethodSettings"]

_setting = partial(setting, "Method")


def _loss_names(*, autoencoders: bool) -> tuple[str, ...]:
    """Return the names in the table of local losses that have autoencoders, or have none."""
    return tuple(n for n, loss in LOCAL_LOSSES.items() if loss.autoencoders == autoencoders)


def _loss_texts(*, autoencoders: bool) -> str:
    rows = ((name, LOCAL_LOSSES[name]) for name in _loss_names(autoencoders=autoencoders))
    return "; ".join(f"{name}: {loss.what} ({loss.source})" for name, loss in rows) + "."


@dataclass(frozen=True, kw_only=True)
class MethodSettings:
    """Associated Learning or backpropagation, and in which form."""

    method: str = _setting(
        "al",
        "al: Associated Learning. bp: end-to-end backpropagation.",
        choices=("al", "bp"),
    )
    encoders: str | None = _setting(
        None,
        "bp: al, the encoders and the last readout of AL's network under a linear head; "
        "paper, the network of the paper's baseline.",
        choices=("al", "paper"),
    )
    local_loss: str = _setting(
        "associated",
        "AL: what a layer learns by. associated: Equation 3, or by --association. The others have "
        "no autoencoders, and their bridges are classifiers. " + _loss_texts(autoencoders=False),
        choices=("associated", *_loss_names(autoencoders=False)),
    )
    greedy: bool = _setting(
        False,
        "AL: layers learn one after the other, each in an equal share of the epochs.",
    )
    latent: int | None = _setting(None, "AL: width of the latents t.", least=1)
    latents: str | None = _setting(None, "AL: width of t layer by layer, such as 128,300,300.")
    readout: str | None = _setting(
        None,
        "How an activation becomes the bridge's vector (bp: the head's). pooled: means of a 4 x 4 "
        "grid; grid: of one with at most 2,048 numbers.",
        choices=(
            "flatten",
            "average",
            "pooled",
            "grid",
            "mean",
            "mean-max",
            "last",
            "state-sum",
            "state-concat",
        ),
    )
    bridge: str | None = _setting(
        None,
        "AL: linear (the paper), activated or mlp (the released code); block: a bridge looks ahead "
        "through a copy of the next layer's encoder, which learns by its loss alone.",
        choices=get_args(BridgeKind),
    )
    bridge_blocks: int = _setting(
        1, "AL: how many of the next layers' encoders a block bridge copies.", least=1
    )
    bridge_select: str = _setting(
        "next",
        "AL: which of them a block bridge copies. next: those that follow; uniform: spread over "
        "all that follow, and fewer towards the top (AugLocal: Ma et al., 2024).",
        choices=get_args(BlockSelection),
    )
    bridge_frozen: bool = _setting(
        False, "AL: whether the copies in a block bridge keep their weights."
    )
    bridge_momentum: float | None = _setting(
        None,
        "AL: the copies in a block bridge follow the layers which they are copies of, and keep "
        "this share of their weights at each update (Su et al., 2024); in one stage only.",
        least=0,
        most=0.9999,
    )
    bridge_hidden: int | None = _setting(
        None, "AL: width between the two maps of an mlp bridge.", least=1
    )
    coders: str = _setting(
        "learned",
        "AL: g and h. learned: autoencoders (the paper); etf: t of a class is a fixed vector, as "
        "far from all others as can be, and g and h learn nothing.",
        choices=get_args(CoderKind),
    )
    coder_activation: str | None = _setting(
        None, "AL: activation of g and h, such as tanh or sigmoid."
    )
    coder_bias: bool = _setting(True, "AL: whether b, g and h have biases.")
    first_loss: str = _setting("ce", "AL: loss of the first autoencoder.", choices=("ce", "mse"))
    label_smoothing: float = _setting(
        0.0,
        "Share of a label that is spread over all classes, in the cross-entropy against y (AL: of "
        "the first autoencoder).",
        least=0,
        most=0.99,
    )
    class_weight: str = _setting(
        "none",
        "Weight of a class in that cross-entropy. balanced: all training samples by the number of "
        "classes and the samples of that one.",
        choices=("none", "balanced"),
    )
    association: str | None = _setting(
        None,
        "AL: loss of a bridge against its target. "
        + _loss_texts(autoencoders=True)
        + " target, with an "
        "answer at every token only, and there the default: every exit answers y itself, by "
        "cross-entropy; no autoencoders.",
        choices=(*_loss_names(autoencoders=True), "target"),
    )
    input_loss: float = _setting(
        0.0,
        "AL: weight of a further loss of layers below the last, how much of its input a layer has "
        "lost, by a decoder that is used in training alone (InfoPro: Wang et al., 2021).",
        least=0,
    )
    overlap: bool = _setting(
        False,
        "AL: whether layers below the last also learn by the loss of the layer above them, through "
        "its weights as they are; in one stage only.",
    )
    detach_target: bool = _setting(
        True, "AL: whether the associated loss leaves g alone (Equation 3 does not)."
    )
    stop_gradients: bool = _setting(True, "AL: whether gradients stop between layers (Table 6).")
    lower_associated: bool = _setting(
        True, "AL: whether layers below the last have an associated loss (Table 6)."
    )
    single_layer: bool = _setting(
        False,
        "AL: all encoders in one layer with one bridge and one autoencoder (Table 6, AE*1).",
    )
    double_softmax: bool = _setting(
        False, "bp: a softmax before the loss that has its own, as in the released code."
    )

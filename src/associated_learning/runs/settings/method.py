"""The settings of what the layers of a run learn by."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from associated_learning.runs.settings.setting import setting

__all__ = ["MethodSettings"]

_setting = partial(setting, "Method")


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
        "bp: al, the encoders and the last readout of AL's network under a linear head, so that "
        "only training differs; paper, the network of the paper's baseline.",
        choices=("al", "paper"),
    )
    local_loss: str = _setting(
        "associated",
        "AL: what a layer learns by. associated: Equation 3. The others have no autoencoders, and "
        "their bridges are classifiers: ce, cross-entropy (Table 6, w/o AE; with "
        "--no-stop-gradients deep supervision); predsim, that and the likeness of samples.",
        choices=("associated", "ce", "predsim"),
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
        "AL: linear (the paper), activated or mlp (the released code).",
        choices=("linear", "activated", "mlp"),
    )
    bridge_hidden: int | None = _setting(
        None, "AL: width between the two maps of an mlp bridge.", least=1
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
        "AL: loss of a bridge against its target: squared error (the paper); contrast "
        "adds how hard it is to tell that target from those of other classes. target, with an "
        "answer at every token only, and there the default: every exit answers y itself, by "
        "cross-entropy; no autoencoders.",
        choices=("squared", "contrast", "target"),
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

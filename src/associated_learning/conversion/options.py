"""What a user may choose about b, g, h and the losses of an AL form: one value for all of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypedDict, TypeVar

from torch import nn

from associated_learning.conversion.partners import BridgeKind
from associated_learning.errors import InputError, nearest
from associated_learning.layer import PerLayer
from associated_learning.losses.table import PairLoss
from associated_learning.models.activations import Activation

__all__ = [
    "ALKeywords",
    "ALOptions",
    "Association",
    "BlockSelection",
    "CoderKind",
    "flat",
    "with_keywords",
]

F = TypeVar("F", bound=Callable[..., Any])
Association = PairLoss | str | None
CoderKind = Literal["learned", "etf"]
BlockSelection = Literal["next", "uniform"]


@dataclass(frozen=True, kw_only=True)
class ALOptions:
    """What Algorithm 1 puts beside the encoders, and what the layers learn by.

    `al_form`, `convert` and `plan` take each field as a keyword, or the whole value as
    ``options``. Where an attribute may be a list, it holds one entry for each layer.

    Attributes:
        latent: ``D_1 .. D_L``, the widths of the latents t (Tables 7 and 8: 128), or one for
            all.
        readout: From each ``s_i`` to a vector: a module for each layer, or one for all (it
            must then hold no parameters). None chooses by the shape of ``s_i``: the masked mean
            for sequences (section 2.1.1) and the means of a grid for images, so that bridges
            stay small.
        bridge: "linear", "activated", "mlp" or "block"; see `make_bridge`. "block" looks ahead:
            the bridge of a layer reads what a private copy of the next layer's encoder makes of
            ``s_i``, which begins with its weights and learns by this layer's loss alone. No
            gradient crosses layers; a step takes longer and holds the copy's activations too,
            and so does inference at less than full depth. The last layer's is linear.
        bridge_hidden: Width between the two maps of an "mlp" bridge.
        bridge_blocks: How many of the next layers' encoders a "block" bridge copies, where as
            many follow.
        bridge_select: Which of them: "next", or "uniform", spread over all that follow, and fewer
            towards the top (AugLocal: Ma et al., 2024; see `copied_layers`). Where a copy does not
            fit what comes, a linear map or a 1 x 1 convolution that learns stands before it.
        bridge_frozen: Whether the weights of these copies stay as they are.
        bridge_momentum: Lets the copies follow the layers which they are copies of, in place of
            learning: after each update they keep this share of their weights and take the rest
            from them (momentum auxiliary networks: Su et al., 2024, whose learned bias is left to
            b). 0 makes a window of two layers: a layer learns through the next one as it is. A
            layer is then told of those above it by weights, not by gradients, so that traffic is
            two-way, and layers train in one stage only. None for copies that learn.
        coders: "learned" (the paper), or "etf": g and h learn nothing, t of a class is a fixed
            vector, the same in every layer, and those of two classes are as far apart as can be
            (`simplex`; Yang et al., 2022). No autoencoder has to be trained, and no target moves
            while bridges learn it. For `Classes` without positions and equal widths of t, each
            at least the number of classes.
        activation: Nonlinearity of g and h, and of the bridges that have one (tanh in section
            2.1; sigmoid in the released image code). ``h_1`` has none where it gives logits.
        decoder_activation: Nonlinearity of h, if it is not that of g.
        linear_decoders: True gives ``h_2 .. h_L`` no nonlinearity (the later released code).
        bias: Whether b, g and h have biases.
        association: What a layer learns by: a name in `LOCAL_LOSSES`, such as "squared"
            (Equation 3, and None is the same), "contrast" or "ce"; or a loss of ``b_i(s_i)``
            against ``t_i``, any function of the two. Some names have no autoencoders, so that
            every bridge answers by itself. "auto" is contrast for classes, which reaches more on
            small data (benchmarks/first_run), "ce" where y has positions, and "squared" for
            others.
        input_loss: Weight of a further loss of every layer below the last: how much of its input
            s_{i-1} a small decoder cannot tell from s_i, as a share of its variance (InfoPro:
            Wang et al., 2021, reconstruct the network's input, which would have to travel along;
            what s_{i-1} has lost of it, no later layer finds again). So a layer keeps what its
            own target has no use for and those above may need. The decoder, a linear map or two
            convolutions, takes time and memory in training and is in no prefix and no export. 0
            for none.
        overlap: Whether every layer below the last also learns by the associated loss of the layer
            above it, through that layer's weights as they are (`OverlapLoss`): two layers
            overlap. An update then holds two layers' activations and takes a forward and a
            backward pass more; weights travel down, so that layers train in one stage only. No
            prefix and no export holds the copies.
        detach_target: See `associated_loss`: False lets g learn from the associated loss.
        stop_gradients: See `ALLayer`; one for each layer, or one for all.
        use_associated: See `ALLayer`; one for each layer, or one for all.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> small = al.ALOptions(latent=8, bridge="activated")
        >>> x, encoders = torch.randn(2, 4), [nn.Linear(4, 8), nn.Linear(8, 8)]
        >>> net = al.al_form(encoders, x, al.Classes(3), options=small, bias=False)
        >>> net.layers[1].b
        Sequential(
          (0): Linear(in_features=8, out_features=8, bias=False)
          (1): Tanh()
        )
    """

    latent: PerLayer[int] = 128
    readout: PerLayer[nn.Module] | None = None
    bridge: BridgeKind = "linear"
    bridge_hidden: int = 1280
    bridge_blocks: int = 1
    bridge_select: BlockSelection = "next"
    bridge_frozen: bool = False
    bridge_momentum: float | None = None
    coders: CoderKind = "learned"
    activation: Activation = "tanh"
    decoder_activation: Activation | None = None
    linear_decoders: bool = False
    bias: bool = True
    association: Association = "auto"
    input_loss: float = 0.0
    overlap: bool = False
    detach_target: bool = True
    stop_gradients: PerLayer[bool] = True
    use_associated: PerLayer[bool] = True


class ALKeywords(TypedDict, total=False):
    """The fields of `ALOptions` as keywords, for type checkers; a test holds the two together."""

    latent: PerLayer[int]
    readout: PerLayer[nn.Module] | None
    bridge: BridgeKind
    bridge_hidden: int
    bridge_blocks: int
    bridge_select: BlockSelection
    bridge_frozen: bool
    bridge_momentum: float | None
    coders: CoderKind
    activation: Activation
    decoder_activation: Activation | None
    linear_decoders: bool
    bias: bool
    association: Association
    input_loss: float
    overlap: bool
    detach_target: bool
    stop_gradients: PerLayer[bool]
    use_associated: PerLayer[bool]


def flat(function: F) -> F:
    """Let ``help`` and editors show all fields of `ALOptions` as keywords of a function.

    Args:
        function: Its last parameter is ``**keywords: Unpack[ALKeywords]``.
    """
    signature = inspect.signature(function)
    *own, _ = signature.parameters.values()
    options = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type
        )
        for field in fields(ALOptions)
    ]
    function.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
    return function


def with_keywords(
    options: ALOptions | None, keywords: Mapping[str, Any], function: Callable[..., Any]
) -> ALOptions:
    """Return options with some of them changed, as the caller of a `flat` function wishes.

    Raises:
        InputError: There is no such option.

    Example:
        >>> import associated_learning as al
        >>> with_keywords(ALOptions(latent=8), {"bias": False}, al.al_form).latent
        8
        >>> with_keywords(None, {"latnet": 8}, al.al_form)
        Traceback (most recent call last):
        ...
        associated_learning.errors.InputError: al_form has no argument 'latnet'. Did you mean ...
    """
    known = inspect.signature(function).parameters
    options = ALOptions() if options is None else options
    own = {field.name for field in fields(options)}
    for name in keywords:
        if name not in own:
            raise InputError(
                f"{function.__name__} has no argument {name!r}.{nearest(name, known)} "
                f"Expected one of {', '.join(known)}."
            )
    return replace(options, **keywords)

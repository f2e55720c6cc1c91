"""One AL layer (Figure 2): encoder f, bridge b, and the target's autoencoder g, h."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

from torch import Tensor, nn

from associated_learning.errors import InputError
from associated_learning.losses.equation3 import autoencoder_loss
from associated_learning.models.bridge_loss import bridge_loss
from associated_learning.tensors.chain import encode
from associated_learning.tensors.nested import detach, tensors_in

__all__ = [
    "ALLayer",
    "Answer",
    "Branch",
    "JointLayers",
    "LayerOutput",
    "PerLayer",
    "Prefix",
    "check_fit",
    "one_for_each",
]

T = TypeVar("T")
PerLayer: TypeAlias = T | Sequence[T]  # one for each layer, from the input up, or one for all


class LayerOutput(NamedTuple):
    """What a layer returns in training.

    Attributes:
        s: ``s_i``, a tensor or a structure of tensors: the next layer's input.
        t: ``t_i``, ``[B, D_i]``: the next layer's target. Where y has positions, y itself or
            a `PositionTargets`.
        losses: The terms of this layer's loss by name, each a scalar.
    """

    s: Any
    t: Tensor
    losses: dict[str, Tensor]


class ALLayer(nn.Module):
    r"""Layer i of an AL network: ``(s_{i-1}, t_{i-1}) -> (s_i, t_i, losses)`` (Algorithm 2).

    .. math::
        s_i = f_i(s_{i-1}),\quad t_i = g_i(t_{i-1}),\quad
        L_i = \|b_i(s_i) - t_i\|^2 + \|h_i(t_i) - t_{i-1}\|^2

    Args:
        f: Encoder; takes and returns a tensor or a structure of tensors.
        b: Bridge, from the readout's width to ``D_i``.
        g: Encoder of the target, ``[B, D_{i-1}] -> [B, D_i]``.
        h: Decoder of the target, ``[B, D_i] -> [B, D_{i-1}]``.
        readout: From ``s_i`` to the vector ``[B, W]`` that the bridge takes (section 6.2);
            identity by default.
        reconstruction: Loss of ``h_i(t_i)`` against ``t_{i-1}``; Equation 3's by default, the
            target's own at the first layer (cross-entropy in section 6.10). None where g and h
            hand y on as it is.
        association: Loss of ``b_i(s_i)`` against ``t_i`` in the place of Equation 3's; rivals
            of the method put their own here.
        detach_target: See `associated_loss`.
        use_associated: False leaves the associated loss out (Table 6, row 2). Then only the
            layers above can train f, so their gradient stops must be off.
        stop_gradients: False lets this layer's loss train the layer below (Table 6, row 1).
        input_decoder: Maps ``(s_i, s_{i-1})`` to a further loss, of how much of its input the
            layer lost (`InputDecoder`); no prefix holds it. None for no such loss.
        window: Maps ``(s_i, t_i)`` to the loss of the layer above (`OverlapLoss`); likewise.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> layer = ALLayer(
        ...     f=nn.Linear(4, 8), b=nn.Linear(8, 5), g=nn.Linear(3, 5), h=nn.Linear(5, 3)
        ... )
        >>> s, t, losses = layer(torch.randn(2, 4), torch.eye(3)[:2])
        >>> s.shape, t.shape, list(losses)
        (torch.Size([2, 8]), torch.Size([2, 5]), ['associated', 'autoencoder'])
    """

    def __init__(
        self,
        f: nn.Module,
        b: nn.Module,
        g: nn.Module,
        h: nn.Module,
        *,
        readout: nn.Module | None = None,
        reconstruction: Callable[[Tensor, Tensor], Tensor] | None = autoencoder_loss,
        association: Callable[[Tensor, Tensor], Tensor] | None = None,
        detach_target: bool = True,
        use_associated: bool = True,
        stop_gradients: bool = True,
        input_decoder: nn.Module | None = None,
        window: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.f = f
        self.readout = nn.Identity() if readout is None else readout
        self.b = b
        self.g = g
        self.h = h
        self.reconstruction = reconstruction
        self.association = association
        self.detach_target = detach_target
        self.use_associated = use_associated
        self.stop_gradients = stop_gradients
        self.input_decoder = input_decoder
        self.window = window

    def forward(self, s: Any, t: Tensor) -> LayerOutput:
        """Run the layer in training: Algorithm 2, lines 5 to 10.

        Args:
            s: ``s_{i-1}``.
            t: ``t_{i-1}``, ``[B, D_{i-1}]``.
        """
        if self.stop_gradients:
            # Law 1: the only place where gradients between layers are cut. Without the first
            # cut loss i trains f of the layers below, without the second their g.
            s, t = detach(s), detach(t)
        s_next = self.f(s)
        t_next = self.g(t)
        losses = {}
        if self.use_associated:
            losses["associated"] = bridge_loss(
                self.b,
                self.readout(s_next),
                t_next,
                self.association,
                detach_target=self.detach_target,
            )
        if self.reconstruction is not None:
            losses["autoencoder"] = self.reconstruction(self.h(t_next), t)
        if self.input_decoder is not None:
            losses["input"] = self.input_decoder(s_next, s)
        if self.window is not None:
            losses["window"] = self.window(s_next, t_next)
        return LayerOutput(s_next, t_next, losses)

    def bridge(self, s: Any) -> Tensor:
        """Return ``s'_i = b_i(s_i)``, ``[B, D_i]``."""
        s_prime: Tensor = self.b(self.readout(s))
        return s_prime

    def latent(self, s: Any) -> Tensor:
        """Return ``s'_i`` as wide as ``t_i``: without features that the loss alone reads."""
        s_prime = self.bridge(s)
        return self.h(s_prime) if isinstance(self.h, Answer) else s_prime


class Answer(nn.Module):
    """An h that hands y on: the first columns of a bridge's output.

    Those behind them are features, which the layer's loss alone reads (`LocalLoss`).

    Example:
        >>> import torch
        >>> Answer(3)(torch.zeros(2, 5)).shape
        torch.Size([2, 3])
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, t: Tensor) -> Tensor:
        """Return ``[B, count]``."""
        return t[:, : self.count]


class JointLayers(nn.Module):
    """Consecutive layers without gradient stops between them: one loss trains them all.

    Only the ablations need it (Table 6, rows 1 and 2); a network of isolated layers has none.
    """

    def __init__(self, layers: list[ALLayer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, s: Any, t: Tensor) -> LayerOutput:
        """Run the layers in order and add up their losses term by term."""
        losses: dict[str, Tensor] = {}
        for layer in self.layers:
            s, t, terms = layer(s, t)
            for name, term in terms.items():
                losses[name] = losses[name] + term if name in losses else term
        return LayerOutput(s, t, losses)


class Branch(nn.Module):
    """One of several variants of a layer: trains by its own losses, and hands on what it got.

    Args:
        layer: The variant.
        number: That of the layer which it is a variant of; keys its randomness.
    """

    def __init__(self, layer: ALLayer, number: int) -> None:
        super().__init__()
        self.layer = layer
        self.number = number

    def forward(self, s: Any, t: Tensor) -> LayerOutput:
        """Return ``(s, t)`` as they came, and the losses of the variant."""
        return LayerOutput(s, t, self.layer(s, t).losses)


def check_fit(layer: ALLayer, s: Any, t: Tensor, *, number: int) -> None:
    """Check that a layer, in evaluation mode, can be put on a top that gives ``s`` and ``t``.

    Raises:
        InputError: It cannot take them, or its parts do not fit each other.
    """
    try:
        s_next, t_next = layer.f(s), layer.g(t)
        bridged, decoded = layer.latent(s_next), layer.h(t_next)
    except (RuntimeError, ValueError, TypeError, AttributeError, IndexError) as error:
        shapes = [list(tensor.shape) for tensor in tensors_in(s)]
        raise InputError(
            f"the appended layer cannot take what layer {number - 1} gives, s of shape {shapes} "
            f"and t of {list(t.shape)}: {error}"
        ) from error
    _check_shape("b", bridged, t_next)
    _check_shape("h", decoded, t)


def _check_shape(name: str, found: Tensor, expected: Tensor) -> None:
    if found.shape != expected.shape:
        raise InputError(
            f"{name} of the appended layer gives {list(found.shape)}; expected "
            f"{list(expected.shape)}, as {'g gives' if name == 'b' else 't of the layer below'}."
        )


def one_for_each(what: str, value: PerLayer[T], count: int, of: str = "layers") -> list[T]:
    """Return ``count`` values: those of a list, or one value for all.

    Raises:
        InputError: The list holds more or fewer.

    Example:
        >>> one_for_each("widths", 8, 3), one_for_each("widths", [8, 4], 2)
        ([8, 8, 8], [8, 4])
        >>> one_for_each("widths", [8, 4], 3)
        Traceback (most recent call last):
        ...
        associated_learning.errors.InputError: 2 widths came for 3 layers; expected one for ...
    """
    if not isinstance(value, (list, tuple)):
        return [value] * count  # type: ignore[list-item]
    if len(value) != count:
        raise InputError(
            f"{len(value)} {what} came for {count} {of}; expected one for each, or a single one "
            "for all."
        )
    return list(value)


class Prefix(nn.Module):
    """The first layers as a model of their own: ``f_1 .. f_k, b_k, h_k .. h_1`` (section 2.2.1).

    No g and no other bridge is held.
    """

    def __init__(self, layers: list[ALLayer]) -> None:
        super().__init__()
        self.f = nn.ModuleList(layer.f for layer in layers)
        self.readout = layers[-1].readout
        self.b = layers[-1].b
        self.h = nn.ModuleList(layer.h for layer in layers)

    def forward(self, x: Any) -> Tensor:
        """Return ``t'_0``, ``[B, target.size]``."""
        t: Tensor = self.b(self.readout(encode(self.f, x)))
        for h in reversed(self.h):
            t = h(t)
        return t

"""Algorithm 1 for a whole model: cut it into layers, and insert b, g and h beside each."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor, nn

from associated_learning.conversion.al_form import al_layers
from associated_learning.conversion.checks.conversion import Level
from associated_learning.conversion.checks.subject import Subject
from associated_learning.conversion.cutting.balance import Balance
from associated_learning.conversion.cutting.head import Head
from associated_learning.conversion.cutting.selection import At
from associated_learning.conversion.partners import BridgeKind
from associated_learning.conversion.plan import PartnerSettings, Plan
from associated_learning.conversion.planner import SAMPLES, Source, make_encoders
from associated_learning.conversion.slicing.equality import features
from associated_learning.errors import InputError
from associated_learning.layer import ALLayer
from associated_learning.models.activations import Activation
from associated_learning.network import ALNetwork
from associated_learning.targets import Target

__all__ = ["ConvertedNetwork", "convert"]


class ConvertedNetwork(ALNetwork):
    """An AL network whose encoders are slices of a user's model; see `convert`.

    Attributes:
        plan: How it was cut.
    """

    def __init__(
        self, layers: Iterable[ALLayer], target: Target, plan: Plan, source: Source
    ) -> None:
        super().__init__(layers, target)
        self.plan = plan
        self._source = source

    def backbone(self) -> nn.Module:
        """Return the model that was converted, with the weights that the layers have now.

        Its old classifier is as it was: no layer holds it. Layers that were sent away, pickled
        or copied one by one, do not share their parameters with it any more: load their weights
        into the network first.
        """
        return self._source.model

    def subject(self) -> Subject:
        """Return the model and the layers as they are now, to be checked against each other."""
        model, arguments, head = self._source
        converted = list(self.al_layers())[: len(self.plan.layers)]
        readouts = [layer.readout for layer in converted]
        return Subject.of(model, arguments, head, [x.f for x in converted], self.plan, readouts)

    def backbone_features(self, x: Any) -> Tensor:
        """Return what the old classifier would get, by running the original model itself.

        It runs in evaluation mode and without gradients.
        """
        model, arguments, head = self._source
        return features(model, arguments, arguments.bind(x), head)


def convert(
    model: nn.Module,
    example_inputs: Any,
    *,
    target: Target,
    at: At = "auto",
    balance: Balance = "time",
    head: Head = "auto",
    latent: int | Sequence[int] = 128,
    readout: nn.Module | Sequence[nn.Module] | None = None,
    bridge: BridgeKind = "linear",
    bridge_hidden: int = 1280,
    activation: Activation = "tanh",
    decoder_activation: Activation | None = None,
    linear_decoders: bool = False,
    bias: bool = True,
    detach_target: bool = True,
    copy_model: bool = False,
    check: Level = "quick",
    samples: int | None = SAMPLES,
) -> ConvertedNetwork:
    """Convert a model to AL form (Algorithm 1).

    The model's own modules go into the layers, so that training the network trains the model; the
    old classifier is left out. ``print(net.plan)`` shows what was done and why. Chained, the
    encoders give the model's features bit for bit, which conversion checks on the example.

    Args:
        model: Any module.
        example_inputs: A batch of two samples or more; see `plan`. Batches in training may be of
            other sizes, in the same form.
        target: What y is.
        at: Where the layers begin; see `plan`.
        balance: What "auto" and a number of layers balance; see `plan`.
        head: The old classifier; see `plan`.
        latent: See `al_form`.
        readout: From each activation, a `Stream`, to a vector; chosen by its shape, or by
            `register_readout`, if not given.
        bridge: See `make_bridge`.
        bridge_hidden: See `al_form`.
        activation: See `al_form`.
        decoder_activation: See `al_form`.
        linear_decoders: See `al_form`.
        bias: See `al_form`.
        detach_target: See `al_form`.
        copy_model: Whether to leave the model alone and convert a copy of it.
        check: How thoroughly the layers are compared with the model: "quick", or "full" for all
            that `verify` checks, on the example.
        samples: How many samples of the example are looked at; see `plan`.

    Raises:
        ConversionError: The model cannot be cut as asked; it holds all reasons.
        InputError: The model does not run on the example, or an argument does not fit.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> model = nn.Sequential(
        ...     nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)
        ... )
        >>> x = torch.randn(6, 4)
        >>> net = al.convert(model, x, target=al.Classes(3), at=2)
        >>> net(x, depth=1).shape, net.backbone() is model
        (torch.Size([6, 3]), True)
    """
    if not isinstance(target, Target):
        raise InputError(f"target={target!r} came; expected what y is, such as al.Classes(10).")
    if copy_model:
        model = _copy(model)
    plan, subject = make_encoders(
        model,
        example_inputs,
        at=at,
        balance=balance,
        head=head,
        samples=samples,
        settings=PartnerSettings(latent, bridge, bridge_hidden, readout),
        check=check,
    )
    layers = al_layers(
        subject.encoders,
        target,
        [layer.readout for layer in plan.layers],
        [layer.width for layer in plan.layers],
        latent=latent,
        bridge=bridge,
        bridge_hidden=bridge_hidden,
        activation=activation,
        decoder_activation=decoder_activation,
        linear_decoders=linear_decoders,
        bias=bias,
        detach_target=detach_target,
        partners=[layer.partners for layer in plan.layers],
    )
    source = Source(model, subject.arguments, subject.head)
    return ConvertedNetwork(layers, target, plan, source)


def _copy(model: nn.Module) -> nn.Module:
    """Copy a model, also one whose modules keep what they computed of their parameters.

    The old ``torch.nn.utils.weight_norm`` leaves such tensors, which deepcopy refuses; they are
    computed anew in every forward.
    """
    kept = (value for module in model.modules() for value in vars(module).values())
    computed = [v for v in kept if isinstance(v, Tensor) and not v.is_leaf]
    return copy.deepcopy(model, {id(tensor): tensor.detach().clone() for tensor in computed})

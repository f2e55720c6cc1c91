"""Algorithm 1 for a whole model: cut it into layers, and insert b, g and h beside each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn
from typing_extensions import Unpack

from associated_learning.conversion.al_form import al_layers
from associated_learning.conversion.checks.conversion import Level
from associated_learning.conversion.checks.subject import Subject
from associated_learning.conversion.chosen_loss import chosen_loss
from associated_learning.conversion.cutting.balance import Balance
from associated_learning.conversion.cutting.head import Head
from associated_learning.conversion.cutting.selection import At
from associated_learning.conversion.example import Example
from associated_learning.conversion.input_decoders import add_input_decoders
from associated_learning.conversion.kept_head import head_bridges
from associated_learning.conversion.options import ALKeywords, ALOptions, flat, with_keywords
from associated_learning.conversion.overlap import add_overlaps
from associated_learning.conversion.plan import Plan
from associated_learning.conversion.planner import Source, make_encoders
from associated_learning.conversion.sampling import Samples
from associated_learning.conversion.slicing.equality import features
from associated_learning.conversion.trained_model import (
    exit_model,
    with_bridge_as_head,
    with_trained_head,
)
from associated_learning.errors import InputError
from associated_learning.layer import ALLayer
from associated_learning.losses.table import LOCAL_LOSSES
from associated_learning.network import ALNetwork
from associated_learning.targets import Target
from associated_learning.tensors.copying import copied
from associated_learning.tensors.modes import evaluating

__all__ = ["ConvertedNetwork", "convert"]


class ConvertedNetwork(ALNetwork):
    """An AL network whose encoders are slices of a user's model; see `convert`.

    Attributes:
        plan: How it was cut.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> model, x = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)), torch.randn(2, 4)
        >>> net = al.convert(model, x, target=al.Classes(3), at=["1"])
        >>> net.plan.dropped, net.backbone() is model
        (('2',), True)
        >>> torch.equal(net.backbone_features(x), model[:2](x))
        True
    """

    def __init__(
        self, layers: Iterable[ALLayer], target: Target, plan: Plan, source: Source
    ) -> None:
        super().__init__(layers, target)
        self.plan = plan
        self._source = source

    def backbone(self) -> nn.Module:
        """Return the model that was converted, with the weights that the layers have now.

        Its old classifier is as it was, untrained: no layer holds it, so that what the model
        answers means nothing. `to_model` gives the model with the trained head. Layers that were
        sent away, pickled or copied one by one, do not share their parameters with it any more:
        load their weights into the network first.
        """
        return self._source.model

    def to_model(
        self, example_inputs: Any, depth: int | None = None, *, same_class: bool = False
    ) -> nn.Module:
        """Return a copy of the converted model that answers as this network does, to be used.

        Through all layers it is of the model's own class where its classifier is one module that
        reads what the bridge reads: ``b_L, h_L .. h_1`` stand in its place, and all else of the
        model (``config``, ``save_pretrained``, losses by ``labels=``) is as it was. Elsewhere it
        is an `ExitModel`, which is called as the model, and returns logits in its type. Either
        has given the network's own bits for the example, and is in evaluation mode.

        A model that answers at every position gets the bridge in the place of its head; through
        fewer layers it is a model of fewer blocks, where these are a plain stack and the bridge
        began as its own norm and head. ``save_pretrained`` then writes an ordinary folder.

        Args:
            example_inputs: A batch in the form of those in training.
            depth: Number of layers, 1 to `num_layers`; all by default.
            same_class: Whether only the model's own class will do.

        Raises:
            InputError: The depth is out of range, the batch does not fit, or ``same_class`` is
                asked for and cannot be; it says why.

        Example:
            >>> import torch
            >>> from torch import nn
            >>> import associated_learning as al
            >>> model, x = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)), torch.eye(4)
            >>> net = al.convert(model, x, target=al.Classes(3), at=["1"]).eval()
            >>> trained = net.to_model(x)
            >>> type(trained).__name__, torch.equal(trained(x), net(x))
            ('Sequential', True)
            >>> torch.equal(net.to_model(x, depth=1)(x), net(x, depth=1))
            True
        """
        depth, x = self.check_depth(depth), Example.of(example_inputs).inputs
        with evaluating(self):
            answer = self(x, depth)
        prefix = self.prefix(depth)
        try:
            if self.plan.positions:
                return with_bridge_as_head(self._source, self.plan, prefix, depth, x, answer)
            if depth != len(self.plan.layers):
                raise InputError(
                    f"depth {depth} came, the model was cut into {len(self.plan.layers)} layers; "
                    "expected all of them, as only those end where its classifier is."
                )
            return with_trained_head(self._source, self.plan.dropped, prefix, x, answer)
        except InputError:
            if same_class:
                raise
        return exit_model(self._source, prefix, x)

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


@flat
def convert(
    model: nn.Module,
    example_inputs: Any,
    *,
    target: Target,
    at: At = "auto",
    balance: Balance = "time",
    head: Head = "auto",
    copy_model: bool = False,
    keep_head: bool = True,
    check: Level = "quick",
    samples: Samples = "auto",
    options: ALOptions | None = None,
    **keywords: Unpack[ALKeywords],
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
        copy_model: Whether to leave the model alone and convert a copy of it.
        keep_head: Whether, where y has positions and every exit answers it by itself, bridges
            begin as copies of the model's own head, with its final norm before it in lower layers,
            if they fit y. So a pretrained model answers through all layers as it did.
        check: How thoroughly the layers are compared with the model: "quick", or "full" for all
            that `verify` checks, on the example.
        samples: How many samples of the example are looked at; see `plan`.
        options: What to put beside the encoders, as a value. Readouts get each activation as a
            `Stream`; None chooses them by its shape, or by `register_readout`.
        keywords: Any field of `ALOptions`, such as ``latent=16``; takes the place of that of
            ``options``.

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
    options = with_keywords(options, keywords, convert)
    if copy_model:
        model = copied(model)
    plan, subject = make_encoders(
        model,
        example_inputs,
        target=target,
        at=at,
        balance=balance,
        head=head,
        samples=samples,
        options=options,
        check=check,
    )
    layers = al_layers(
        subject.encoders,
        target,
        [layer.readout for layer in plan.layers],
        [layer.width for layer in plan.layers],
        options,
        partners=[layer.partners for layer in plan.layers],
        resizes=[layer.resize for layer in plan.layers],
    )
    add_input_decoders(layers, Example.of(example_inputs).inputs, options.input_loss)
    answers = chosen_loss(options.association, target) is LOCAL_LOSSES["ce"]
    if keep_head and target.positions and answers:
        for layer, bridge in zip(layers, head_bridges(model, plan, target), strict=True):
            layer.b = layer.b if bridge is None else bridge
    if options.overlap:
        add_overlaps(layers)
    source = Source(model, subject.arguments, subject.head)
    return ConvertedNetwork(layers, target, plan, source)

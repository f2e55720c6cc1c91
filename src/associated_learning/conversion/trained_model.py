"""A converted model with the head that was trained: what goes into production."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from associated_learning.conversion.kept_head import NormedHead, is_norm
from associated_learning.conversion.plan import Plan
from associated_learning.conversion.planner import Source
from associated_learning.conversion.slicing.slice import Stream
from associated_learning.conversion.tracing.call import first_tensor
from associated_learning.errors import InputError
from associated_learning.layer import Prefix
from associated_learning.tensors.copying import copied
from associated_learning.tensors.modes import evaluating

__all__ = [
    "ExitHead",
    "ExitModel",
    "exit_model",
    "with_bridge_as_head",
    "with_trained_head",
]


class ExitHead(nn.Module):
    """``b_l``, then ``h_l .. h_1``, in the place of a model's old classifier.

    Its empty buffer ``weight`` goes into saved weights, where it keeps a model with an ordinary
    linear classifier from reading them and starting that afresh: the shapes differ.
    """

    weight: Tensor

    def __init__(self, prefix: Prefix) -> None:
        super().__init__()
        self.readout, self.b, self.h = prefix.readout, prefix.b, prefix.h
        self.register_buffer("weight", torch.empty(0))

    def forward(self, s: Tensor) -> Tensor:
        """Return ``t'_0``, ``[B, target.size]``."""
        t: Tensor = self.b(self.readout(Stream(s, {})))
        for h in reversed(self.h):
            t = h(t)
        return t


class ExitModel(nn.Module):
    """The first layers of a converted model as a module that is called as the model was.

    Args:
        prefix: The layers.
        parameters: Names of the model's own arguments, in order.
        form: The type in which it returned its logits; None for a plain tensor.
    """

    def __init__(
        self, prefix: Prefix, parameters: tuple[str, ...], form: type[Any] | None = None
    ) -> None:
        super().__init__()
        self.prefix = prefix
        self.parameters_of_model = parameters
        self.form = form

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return ``t'_0``, ``[B, target.size]``: a tensor, or as the ``logits`` of `form`."""
        x: Any = args[0] if len(args) == 1 else args
        if kwargs:
            x = {**dict(zip(self.parameters_of_model, args, strict=False)), **kwargs}
        logits = self.prefix(x)
        return logits if self.form is None else self.form(logits=logits)


def with_trained_head(
    source: Source, dropped: tuple[str, ...], prefix: Prefix, x: Any, answer: Tensor
) -> nn.Module:
    """Return a copy of the model with all layers' exit in the place of its classifier.

    Raises:
        InputError: It has no classifier that is one module, or would answer otherwise.
    """
    if len(dropped) != 1:
        raise InputError(
            f"{len(dropped)} modules are in no layer ({', '.join(dropped) or 'none'}); expected "
            "one, the old classifier, in whose place the trained head could be."
        )
    model = copied(source.model)
    model.set_submodule(dropped[0], copy.deepcopy(ExitHead(prefix)))
    put = ("trained head", dropped[0], "classifier")
    return _answering(source._replace(model=model), *put, x, answer)


def with_bridge_as_head(
    source: Source, plan: Plan, prefix: Prefix, depth: int, x: Any, answer: Tensor
) -> nn.Module:
    """Return a copy of a model that answers at every position, with a bridge in its head's place.

    The bridge is an ordinary module, so the model is saved and loaded as any other of its class.
    Through fewer layers it is a model of fewer blocks.

    Raises:
        InputError: Its head is not one module, its blocks are no plain stack, or it would answer
            otherwise.
    """
    if plan.head is None:
        raise InputError("the model's head is not one module that makes its output.")
    model = copied(source.model)
    bridge: nn.Module = copy.deepcopy(prefix.b)
    if depth < len(plan.layers):
        bridge = _shorten(model, plan, depth, bridge)
    model.set_submodule(plan.head, bridge)
    _untie(model)
    put = ("bridge", plan.head, "module")
    return _answering(source._replace(model=model), *put, x, answer)


def _answering(source: Source, put: str, name: str, old: str, x: Any, answer: Tensor) -> nn.Module:
    """Return a model with another head, once it has given the network's own answer."""
    _set_number_of_labels(source.model, answer.shape[-1])
    found = _logits(_run(source, x, f"in the place of {name}"))
    if found is None or not torch.equal(found, answer):
        raise InputError(
            f"with the {put} in the place of {name} the model answers otherwise than the network: "
            f"something else happens before or after that {old}."
        )
    return source.model.eval()


def _shorten(model: nn.Module, plan: Plan, depth: int, bridge: nn.Module) -> nn.Module:
    """Leave a model its first blocks and the bridge's norm; return the bridge's head."""
    begins, last = plan.layers[depth].begins, plan.layers[-1].modules[-1]
    stack, _, number = begins.rpartition(".")
    blocks = model.get_submodule(stack)
    kept = isinstance(bridge, NormedHead) or not is_norm(model.get_submodule(last))
    if not (number.isdecimal() and isinstance(blocks, nn.ModuleList) and kept):
        raise InputError(
            f"layer {depth + 1} begins at {begins or 'the input'}; expected a block of a stack, "
            "and a bridge that begins as the model's own norm and head."
        )
    model.set_submodule(stack, nn.ModuleList(list(blocks)[: int(number)]))
    if isinstance(bridge, NormedHead):
        model.set_submodule(last, bridge.norm)
        bridge = bridge.head
    config = getattr(model, "config", None)
    if config is not None:
        config.num_hidden_layers = int(number)
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[: int(number)]
    return bridge


def _untie(model: nn.Module) -> None:
    """Give each parameter of a model one name, and tell a model of transformers so."""
    seen: set[int] = set()
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if id(parameter) in seen:
            owner, _, own = name.rpartition(".")
            again = nn.Parameter(parameter.detach().clone(), parameter.requires_grad)
            setattr(model.get_submodule(owner), own, again)
        seen.add(id(parameter))
    config = getattr(model, "config", None)
    if getattr(config, "tie_word_embeddings", False):
        config.tie_word_embeddings = False  # type: ignore[union-attr]


def exit_model(source: Source, prefix: Prefix, x: Any) -> ExitModel:
    """Return a copy of some layers, called as the model, and returning logits in its type."""
    output = _run(source, x, "as it was")
    form = type(output) if isinstance(output, Mapping) and "logits" in output else None
    parameters = tuple(inspect.signature(source.model.forward).parameters)
    return ExitModel(copy.deepcopy(prefix), parameters, form).eval()


def _run(source: Source, x: Any, how: str) -> Any:
    args, kwargs = source.arguments.call(source.arguments.bind(x))
    try:
        with evaluating(source.model):
            return source.model(*args, **kwargs)
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise InputError(
            f"the model does not run with its head {how}: {error}. Give a batch as in training."
        ) from error


def _logits(output: Any) -> Tensor | None:
    logits = output["logits"] if isinstance(output, Mapping) and "logits" in output else output
    return first_tensor(logits)


def _set_number_of_labels(model: nn.Module, size: int) -> None:
    """Tell a model of transformers how many labels it has now, which its loss asks."""
    for owner in (getattr(model, "config", None), model):
        if getattr(owner, "num_labels", size) != size:
            owner.num_labels = size  # type: ignore[union-attr]

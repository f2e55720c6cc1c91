"""A model's arguments: from whatever form a batch comes in to what its forward takes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from associated_learning.conversion.example import Example
from associated_learning.conversion.tracing.structures import (
    Slot,
    collected,
    filled,
    slots,
    templated,
)
from associated_learning.errors import InputError
from associated_learning.tensors.padded_sequence import PaddedSequence

__all__ = ["KEEP_MASKS", "Arguments"]

KEEP_MASKS = ("attention_mask", "mask", "token_mask")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """How a batch becomes the arguments of a model.

    Attributes:
        names: Names of the tensors; the first has one row a sample.
        args: Positional arguments, with a `Slot` in the place of each tensor.
        kwargs: Keyword arguments, likewise.
        constants: Keyword arguments that are the same for every batch.
        data_name: Name of the first tensor among the arguments, which carries the data.
        masks: Inputs ``[B, T]`` that mask positions: whether true keeps a position.
        shared: Names of inputs that are the same for all samples.
        linked: Whether rows influence each other, and so are never fewer.
    """

    names: tuple[str, ...]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    constants: dict[str, Any]
    data_name: str
    masks: dict[str, bool]
    shared: tuple[str, ...]
    linked: bool

    @classmethod
    def of(cls, model: nn.Module, example: Any) -> Arguments:
        """Return how ``example``, a batch or an `Example`, is passed to the model.

        Raises:
            InputError: The example is of no known form, or holds no tensor.
        """
        said = Example.of(example)
        constants = _constants(model)
        args, kwargs, given = _templates(model, said.inputs)
        names = list(slots((args, kwargs)))
        _check_tensors(names, said.inputs)
        named = {*said.padding, *said.keep, *said.shared}
        if not named <= set(names):
            raise InputError(
                f"{', '.join(sorted(named - set(names)))} came as an input's name; expected one "
                f"of {', '.join(names)}."
            )
        masks = {**dict.fromkeys(said.padding, False), **dict.fromkeys(said.keep, True)}
        last = [name for name in names if name in said.shared or "mask" in name]
        ordered = [name for name in names if name not in last] + last
        return cls(
            names=tuple(sorted(ordered, key=lambda name: name in said.shared)),
            args=args,
            kwargs=kwargs,
            constants={**constants, **given},
            data_name=next((name for name in names if "mask" not in name), names[0]),
            masks=masks,
            shared=tuple(said.shared),
            linked=said.linked,
        )

    def bind(self, x: Any) -> dict[str, Tensor]:
        """Return a batch's tensors by name.

        Raises:
            InputError: It has other inputs than the example that the model was converted with.
        """
        if isinstance(x, PaddedSequence):
            x = self._named(x)
        if isinstance(x, Mapping) and set(x) == set(self.names):
            return {name: x[name] for name in self.names}
        if self.args and not (isinstance(x, Mapping) and self.kwargs):
            found = self._by_position(x)
        else:
            found = self._by_keyword(x)
        return {name: found[name] for name in self.names}

    def _by_position(self, x: Any) -> dict[str, Tensor]:
        if isinstance(x, Mapping) and not isinstance(self.args[0], dict):
            raise self._others(list(map(str, x)))
        values = x if isinstance(x, tuple) else (x,)
        if len(values) != len(self.args):
            given = [*self.names[: len(values)], "one more"][: len(values)]
            raise self._others(given)
        tops = [_top(template, f"input {i}") for i, template in enumerate(self.args)]
        found: dict[str, Tensor] = {}
        for name, template, value in zip(tops, self.args, values, strict=True):
            found.update(collected(template, value, name))
        return found

    def _by_keyword(self, x: Any) -> dict[str, Tensor]:
        if not isinstance(x, Mapping):
            raise self._others([type(x).__name__])
        self._check_constants(x)
        given = {str(key): value for key, value in x.items() if key not in self.constants}
        if given.keys() != self.kwargs.keys():
            raise self._others(list(given))
        found: dict[str, Tensor] = {}
        for name, template in self.kwargs.items():
            found.update(collected(template, given[name], name))
        return found

    def _others(self, given: list[str]) -> InputError:
        return InputError(
            f"inputs {', '.join(given) or 'none'} came; expected {', '.join(self.names)}, as "
            "in the example that the model was converted with."
        )

    def _named(self, x: PaddedSequence) -> dict[str, Tensor]:
        if len(self.names) != 2 or self.names[1] not in KEEP_MASKS:
            raise InputError(
                f"a Sequence came, which is ids and a mask; expected {', '.join(self.names)}, as "
                "in the example that the model was converted with."
            )
        return dict(zip(self.names, (x.values, x.mask().to(torch.int64)), strict=True))

    def _check_constants(self, x: Mapping[Any, Any]) -> None:
        for name, kept in self.constants.items():
            for _ in collected(kept, x.get(name, kept), name):
                pass

    def call(self, inputs: Mapping[str, Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the positional and the keyword arguments that pass ``inputs`` to the model."""
        return filled(self.args, inputs), {**filled(self.kwargs, inputs), **self.constants}

    def count(self, inputs: Mapping[str, Tensor]) -> int:
        """Return the number of samples."""
        first = inputs[self.names[0]]
        return first.shape[0] if first.dim() else 0

    def rows(self, inputs: Mapping[str, Tensor]) -> list[str]:
        """Return the names of the inputs that have one row a sample."""
        size = self.count(inputs)
        return [
            name
            for name, value in inputs.items()
            if name not in self.shared and value.dim() and value.shape[0] == size
        ]

    def fewer(self, inputs: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
        """Return the first ``count`` samples; what is not one row a sample stays whole."""
        rows = [] if self.linked else self.rows(inputs)
        return {name: v[:count] if name in rows else v for name, v in inputs.items()}

    def data(self, inputs: Mapping[str, Tensor]) -> set[str]:
        """Return the names of the inputs that carry the data, not a mask or positions."""
        floats = {
            name
            for name, value in inputs.items()
            if value.is_floating_point() and "mask" not in name and name not in self.shared
        }
        return {self.data_name} | floats

    def with_masks(self, masks: Mapping[str, bool], shared: tuple[str, ...]) -> Arguments:
        """Return the same with what was found out about masks and shared inputs."""
        names = tuple(sorted(self.names, key=lambda name: name in shared))
        return replace(self, masks=dict(masks), shared=shared, names=names)


def _templates(model: nn.Module, x: Any) -> tuple[tuple[Any, ...], dict[str, Any], dict[str, Any]]:
    """Return positional and keyword arguments as templates, and the constants among them."""
    parameters = _parameters(model)
    if isinstance(x, PaddedSequence):
        return (), {name: Slot(name) for name in _of_sequence(model, parameters)}, {}
    if isinstance(x, Mapping) and not _is_one_argument(model, x):
        _check_no_labels(x)
        made = {str(key): templated(value, str(key)) for key, value in x.items()}
        given = {key: value for key, value in made.items() if not list(slots(value))}
        return (), {key: value for key, value in made.items() if key not in given}, given
    values = x if isinstance(x, tuple) else (x,)
    names = parameters + [f"input_{i}" for i in range(len(parameters), len(values))]
    return tuple(templated(v, n) for v, n in zip(values, names, strict=False)), {}, {}


def _is_one_argument(model: nn.Module, x: Mapping[Any, Any]) -> bool:
    """Whether a mapping is the model's only argument: ``forward(self, batch)``."""
    takes = inspect.signature(model.forward).parameters.values()
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in takes):
        return False
    required = [p.name for p in takes if p.default is p.empty and "VAR" not in p.kind.name]
    return len(required) == 1 and not {p.name for p in takes} & set(map(str, x))


def _top(template: Any, otherwise: str) -> str:
    name = next(slots(template), otherwise)
    return name if isinstance(template, Slot) else name.partition(".")[0]


def _parameters(model: nn.Module) -> list[str]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    signature = inspect.signature(model.forward)
    return [name for name, p in signature.parameters.items() if p.kind in kinds]


def _constants(model: nn.Module) -> dict[str, Any]:
    """A cache of keys and values for generation would be an object that jumps over every cut."""
    takes = inspect.signature(model.forward).parameters
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in takes.values())
    asked = getattr(getattr(model, "config", None), "use_cache", False) is True
    return {"use_cache": False} if "use_cache" in takes or (open_ended and asked) else {}


def _of_sequence(model: nn.Module, parameters: list[str]) -> list[str]:
    mask = next((name for name in KEEP_MASKS if name in parameters), None)
    if mask is None:
        raise InputError(
            f"a Sequence came as the example, but {type(model).__name__}.forward has no argument "
            f"for its mask (one of {', '.join(KEEP_MASKS)}); pass the model's own arguments: a "
            "tensor, a tuple, or a mapping of keyword arguments."
        )
    return [parameters[0], mask]


def _check_no_labels(example: Mapping[str, Any]) -> None:
    if "labels" in example:
        raise InputError(
            "labels came among the example inputs; leave them out: the targets are the network's "
            "own, not the model's."
        )


def _check_tensors(names: list[str], example: Any) -> None:
    if not names:
        raise InputError(
            f"example inputs of type {type(example).__name__} came; expected a batch as the model "
            "takes it: a tensor, a tuple of tensors, a mapping of keyword arguments, or a Sequence."
        )

"""A model's arguments: from whatever form a batch comes in to what its forward takes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from associated_learning.errors import InputError
from associated_learning.tensors.padded_sequence import PaddedSequence

__all__ = ["KEEP_MASKS", "PADDING_MASKS", "Arguments"]

KEEP_MASKS = ("attention_mask", "mask", "token_mask")
PADDING_MASKS = ("src_key_padding_mask", "key_padding_mask", "padding_mask")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """How a batch becomes the arguments of a model.

    Attributes:
        names: Names of the arguments that are tensors, in order; the first carries the data.
        constants: Keyword arguments that are the same for every batch.
        positional: How many of ``names`` are passed by position.
    """

    names: tuple[str, ...]
    constants: dict[str, Any]
    positional: int

    @classmethod
    def of(cls, model: nn.Module, example: Any) -> Arguments:
        """Return how ``example`` is passed to the model.

        Raises:
            InputError: The example is of no known form, or holds no tensor.
        """
        parameters = _parameters(model)
        constants = _constants(model)
        if isinstance(example, PaddedSequence):
            names = tuple(_of_sequence(model, parameters))
            return cls(names=names, constants=constants, positional=0)
        if isinstance(example, Mapping):
            kept = {str(key): value for key, value in example.items()}
            _check_no_labels(kept)
            tensors = tuple(key for key, value in kept.items() if isinstance(value, Tensor))
            tensors = tuple(sorted(tensors, key=lambda key: key in KEEP_MASKS + PADDING_MASKS))
            _check_tensors(tensors, example)
            given = {key: value for key, value in kept.items() if key not in tensors}
            return cls(names=tensors, constants={**constants, **given}, positional=0)
        values = example if isinstance(example, tuple) else (example,)
        names = tuple((parameters + [f"input_{i}" for i in range(len(values))])[: len(values)])
        if not all(isinstance(value, Tensor) for value in values):
            names = ()
        _check_tensors(names, example)
        return cls(names=names, constants=constants, positional=len(values))

    def bind(self, x: Any) -> dict[str, Tensor]:
        """Return a batch's tensors by name.

        Raises:
            InputError: It has other inputs than the example that the model was converted with.
        """
        if isinstance(x, PaddedSequence):
            self._check_takes_mask()
            given: dict[str, Any] = dict(zip(self.names, _ids_and_mask(x), strict=True))
        elif isinstance(x, Mapping):
            self._check_constants(x)
            given = {str(key): value for key, value in x.items() if key not in self.constants}
        else:
            values = x if isinstance(x, tuple) else (x,)
            given = dict(zip(self.names, values, strict=False))
            if len(values) > len(self.names):
                given["one more"] = values[-1]
        if given.keys() != set(self.names):
            raise InputError(
                f"inputs {', '.join(given) or 'none'} came; expected {', '.join(self.names)}, as "
                "in the example that the model was converted with."
            )
        return {name: given[name] for name in self.names}

    def _check_takes_mask(self) -> None:
        if len(self.names) != 2 or self.names[1] not in KEEP_MASKS:
            raise InputError(
                f"a Sequence came, which is ids and a mask; expected {', '.join(self.names)}, as "
                "in the example that the model was converted with."
            )

    def _check_constants(self, x: Mapping[Any, Any]) -> None:
        for name, kept in self.constants.items():
            value = x.get(name, kept)
            if value is not kept and (isinstance(value, Tensor) or value != kept):
                shown = "a tensor" if isinstance(value, Tensor) else repr(value)
                raise InputError(
                    f"{name} came as {shown}; it was {kept!r} when the model was converted, and "
                    "stays so. Convert it with an example that has it."
                )

    def call(self, inputs: Mapping[str, Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the positional and the keyword arguments that pass ``inputs`` to the model."""
        by_name = list(inputs.items())
        args = tuple(value for _, value in by_name[: self.positional])
        return args, {**dict(by_name[self.positional :]), **self.constants}

    def count(self, inputs: Mapping[str, Tensor]) -> int:
        """Return the number of samples."""
        first = inputs[self.names[0]]
        return first.shape[0] if first.dim() else 0

    def fewer(self, inputs: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
        """Return the first ``count`` samples; what is not one row a sample stays whole."""
        size = self.count(inputs)
        return {
            name: value[:count] if value.dim() and value.shape[0] == size else value
            for name, value in inputs.items()
        }

    def data(self, inputs: Mapping[str, Tensor]) -> set[str]:
        """Return the names of the inputs that carry the data, not a mask or positions."""
        floats = {
            name
            for name, value in inputs.items()
            if value.is_floating_point() and "mask" not in name
        }
        return {self.names[0]} | floats


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


def _ids_and_mask(x: PaddedSequence) -> tuple[Tensor, Tensor]:
    return x.values, x.mask().to(torch.int64)


def _check_no_labels(example: Mapping[str, Any]) -> None:
    if "labels" in example:
        raise InputError(
            "labels came among the example inputs; leave them out: the targets are the network's "
            "own, not the model's."
        )


def _check_tensors(names: tuple[str, ...], example: Any) -> None:
    if not names:
        raise InputError(
            f"example inputs of type {type(example).__name__} came; expected a batch as the model "
            "takes it: a tensor, a tuple of tensors, a mapping of keyword arguments, or a Sequence."
        )

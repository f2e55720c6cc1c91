"""Inputs within inputs: from a structure to its tensors by name, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from associated_learning.errors import InputError

__all__ = ["Slot", "collected", "filled", "slots", "templated"]


class Slot(NamedTuple):
    """The place of a tensor in a structure, by the tensor's name."""

    name: str


def templated(value: Any, name: str) -> Any:
    """Return a structure with a `Slot` in the place of every tensor.

    Example:
        >>> import torch
        >>> templated({"ids": torch.zeros(2), "flags": [1]}, "text")
        {'ids': Slot(name='text.ids'), 'flags': [1]}
    """
    if isinstance(value, Tensor):
        return Slot(name)
    if isinstance(value, Mapping):
        return {key: templated(part, f"{name}.{key}") for key, part in value.items()}
    if isinstance(value, (tuple, list)):
        parts = [templated(part, f"{name}.{i}") for i, part in enumerate(value)]
        return _same_kind(value, parts)
    return value


def filled(template: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Return a structure with the tensors in their slots."""
    if isinstance(template, Slot):
        return tensors[template.name]
    if isinstance(template, dict):
        return {key: filled(part, tensors) for key, part in template.items()}
    if isinstance(template, (tuple, list)):
        return _same_kind(template, [filled(part, tensors) for part in template])
    return template


def collected(template: Any, value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a structure of the same form, by name.

    Raises:
        InputError: It is of another form, or a part that is no tensor is another.
    """
    if isinstance(template, Slot):
        if not isinstance(value, Tensor):
            raise InputError(f"{name} came as {type(value).__name__}; expected a tensor.")
        yield template.name, value
    elif isinstance(template, dict):
        if not isinstance(value, Mapping) or set(value) != set(template):
            raise _other_form(name, template, value)
        for key, part in template.items():
            yield from collected(part, value[key], f"{name}.{key}")
    elif isinstance(template, (tuple, list)):
        if not isinstance(value, (tuple, list)) or len(value) != len(template):
            raise _other_form(name, template, value)
        for i, (part, other) in enumerate(zip(template, value, strict=True)):
            yield from collected(part, other, f"{name}.{i}")
    elif isinstance(value, Tensor) or value != template:
        shown = "a tensor" if isinstance(value, Tensor) else repr(value)
        raise InputError(
            f"{name} came as {shown}; it was {template!r} when the model was converted, and "
            "stays so. Convert it with an example that has it."
        )


def slots(template: Any) -> Iterator[str]:
    """Yield the names of a template's slots, in order."""
    if isinstance(template, Slot):
        yield template.name
    elif isinstance(template, dict):
        for part in template.values():
            yield from slots(part)
    elif isinstance(template, (tuple, list)):
        for part in template:
            yield from slots(part)


def _same_kind(value: Any, parts: list[Any]) -> Any:
    return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)


def _other_form(name: str, template: Any, value: Any) -> InputError:
    came = list(value) if isinstance(value, Mapping) else type(value).__name__
    if isinstance(value, (tuple, list)):
        came = f"{len(value)} values"
    expected = ", ".join(map(str, template)) if isinstance(template, dict) else len(template)
    return InputError(
        f"{came} came for {name}; expected {expected}, as in the example that the model was "
        "converted with."
    )

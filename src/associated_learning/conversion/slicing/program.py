"""What a layer does, as a value: its steps, with references in the place of tensors."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from associated_learning.conversion.tracing.arguments import Arguments

__all__ = [
    "Attribute",
    "Built",
    "Computed",
    "Device",
    "Given",
    "LayerProgram",
    "ModuleAt",
    "Named",
    "Property",
    "Ref",
    "Result",
    "SizeOf",
    "Step",
    "Training",
    "parts",
    "rebuilt",
    "references",
]


@dataclass(frozen=True)
class Given:
    """An input of the model, by name."""

    name: str


@dataclass(frozen=True)
class Result:
    """A tensor or number that a step returned: its position among the leaves; None for all."""

    step: int
    position: int | None


@dataclass(frozen=True)
class Attribute:
    """A parameter, buffer or constant tensor that a model's own forward reads, by name."""

    path: str


@dataclass(frozen=True)
class ModuleAt:
    """A module of the model, handed to a function as an argument."""

    path: str


@dataclass(frozen=True)
class SizeOf:
    """A dimension of a tensor; of all its elements, if ``dim`` is None."""

    tensor: Ref
    dim: int | None


@dataclass(frozen=True)
class Computed:
    """An operation on sizes."""

    function: Callable[..., Any]
    operands: tuple[Any, ...]


@dataclass(frozen=True)
class Training:
    """Whether the layer is in training mode."""


@dataclass(frozen=True)
class Device:
    """The device that the layer runs on."""


Ref = Given | Result | Attribute | ModuleAt | SizeOf | Computed | Training | Device


@dataclass(frozen=True)
class Built:
    """An object that is made anew of its parts: how, and of what."""

    make: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True)
class Named:
    """A function by the name that its module gives it, where pickle looks for another."""

    module: str
    name: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return getattr(sys.modules[self.module], self.name)(*args, **kwargs)


@dataclass(frozen=True)
class Property:
    """Reads a property of a tensor, such as ``mT``."""

    name: str

    def __call__(self, tensor: Any) -> Any:
        """Return the property."""
        return getattr(tensor, self.name)


@dataclass(frozen=True)
class Step:
    """A call: of a module, named by its path, or of a function.

    Attributes:
        number: What `Result` calls it by.
        target: Path of the module, or the function.
        args: Positional arguments, with references in the place of tensors.
        kwargs: Keyword arguments, likewise.
        frees: Steps whose results are not needed after this one.
    """

    number: int
    target: str | Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    frees: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LayerProgram:
    """What a slice does.

    Attributes:
        steps: The calls, in order.
        incoming: What comes in beside s: name in `Stream.side` and what it refers to.
        s_in: What the incoming activation refers to; None in the first layer.
        s_out: The activation that goes out.
        outgoing: What goes out beside it.
        arguments: In the first layer: how a batch becomes the model's inputs.
        copies: Whether the slice changes its incoming activation in place, and so copies it.
    """

    steps: tuple[Step, ...]
    incoming: dict[str, Ref]
    s_in: Ref | None
    s_out: Ref
    outgoing: dict[str, Ref]
    arguments: Arguments | None
    copies: bool


def references(template: Any) -> Iterator[Ref]:
    """Yield the references in a template, also those within others."""
    if isinstance(template, (Computed, SizeOf)):
        yield template
        operands = (template.tensor,) if isinstance(template, SizeOf) else template.operands
        for operand in operands:
            yield from references(operand)
    elif isinstance(template, Ref):
        yield template
    else:
        for part in parts(template):
            yield from references(part)


def parts(template: Any) -> list[Any]:
    """Return what a template is directly made of."""
    if isinstance(template, (tuple, list)):
        return list(template)
    if isinstance(template, dict):
        return list(template.values())
    if isinstance(template, slice):
        return [template.start, template.stop, template.step]
    return [template.args, template.kwargs] if isinstance(template, Built) else []


def rebuilt(template: Any, value: Callable[[Any], Any]) -> Any:
    """Return a template with ``value`` applied to what it is directly made of."""
    if type(template) in (tuple, list, torch.Size):
        kind = tuple if isinstance(template, torch.Size) else type(template)
        return kind(value(part) for part in template)
    if isinstance(template, Built):
        return template.make(*value(template.args), **value(template.kwargs))
    if isinstance(template, dict):
        return {key: value(part) for key, part in template.items()}
    if isinstance(template, slice):
        return slice(*(value(part) for part in parts(template)))
    return template
